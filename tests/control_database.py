"""The control plane's databases for tests: each that is named here runs on both of them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

import billing.budgets.tables
import billing.migrations
import billing.tables
import tenancy.control_plane  # noqa: F401 - its imports register every table
from tenancy import Database, migrate
from tenancy.database import Model
from tenancy.dialects import SCHEMA

KINDS = ("sqlite", "postgres")

_TABLES = [
    f"{SCHEMA}.{table.name}"
    for metadata in (Model.metadata, billing.tables.Model.metadata)
    for table in reversed(metadata.sorted_tables)
    if table.name != "change_head"
]


def migrated(url: str) -> str:
    """The database, with the tables of tenancy and billing."""
    asyncio.run(migrate(url))
    asyncio.run(billing.migrations.migrate(url))
    return url


async def until_one_waits(database: Database) -> None:
    """Until a connection to the server waits for a lock of another."""
    is_waited = False
    while not is_waited:
        async with database.reading() as session:
            is_waited = await session.scalar(sa.text("SELECT NOT bool_and(granted) FROM pg_locks"))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty migrated database; each test works on a copy."""
    path = tmp_path_factory.mktemp("control") / "migrated.db"
    migrated(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _migrated_server(postgres_database: Callable[[], str]) -> str:
    return migrated(postgres_database())


@pytest.fixture(scope="session")
def _server_without_tables(postgres_database: Callable[[], str]) -> str:
    return postgres_database()


@pytest.fixture
def postgres_control_url(_migrated_server: str) -> str:
    """The empty migrated database of a server; the same one for each test."""
    with psycopg.connect(_migrated_server, autocommit=True) as connection:
        # Rows go a hundred times faster than tables come.
        statements = [f"DELETE FROM {table}" for table in _TABLES]
        statements.append(f"UPDATE {SCHEMA}.change_head SET seq = 0")
        connection.execute("; ".join(statements).encode())
    return _migrated_server


@pytest.fixture
def sqlite_control_url(migrated_file: Path, tmp_path: Path) -> str:
    path = tmp_path / "control.db"
    shutil.copy(migrated_file, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture(params=KINDS)
def control_url(request: pytest.FixtureRequest) -> str:
    """An empty migrated database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_control_url")
    return url


@pytest.fixture(params=KINDS)
def new_control_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a table, of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/new.db"
    url: str = request.getfixturevalue("_server_without_tables")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())
    return url
