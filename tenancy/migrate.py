"""Brings the database's tables up to this version of the code."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import alembic.command
import sqlalchemy as sa
from alembic.config import Config

from tenancy.database import prepare_sqlite

MIGRATION_LOCK = 7_204_001
"""Names our advisory lock in PostgreSQL."""

# Alembic keeps the running migration in module globals, so one thread at a time may be in it.
_one_at_a_time = threading.Lock()


async def migrate(url: str) -> None:
    """Safe to call at every start, in several processes at once: one migrates, the rest wait."""
    await asyncio.to_thread(_migrate, url)


def _migrate(url: str) -> None:
    with _one_at_a_time:
        engine = sa.create_engine(sync_url(url), poolclass=sa.NullPool)
        is_sqlite = engine.dialect.name == "sqlite"
        if is_sqlite:
            prepare_sqlite(engine)
        try:
            with engine.begin() as connection:
                if not is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
                alembic.command.upgrade(migration_config(connection), "head")
        finally:
            engine.dispose()


def migration_config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config


def sync_url(url: str) -> sa.URL:
    """The same database through a driver that needs no event loop."""
    parsed = sa.make_url(url)
    return parsed.set(drivername=parsed.drivername.replace("sqlite+aiosqlite", "sqlite"))
