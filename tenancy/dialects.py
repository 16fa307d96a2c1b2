"""What differs between SQLite and PostgreSQL. Nothing else asks which of them it talks to."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SQLITE_BUSY_MILLISECONDS = 5_000

SCHEMA = "control"
"""Ours in a PostgreSQL database, which may hold a cell's tables too."""

POSTGRES = "postgresql+psycopg"
POSTGRES_CONNECTIONS_MAX = 8
POOL_WAIT_SECONDS_MAX = 5.0
CONNECT_SECONDS_MAX = 5
STATEMENT_SECONDS_MAX = 15.0
LOCK_SECONDS_MAX = 5.0
IDLE_IN_TRANSACTION_SECONDS_MAX = 30.0
MIGRATION_SECONDS_MAX = 600.0
KEEPALIVE_SECONDS = 5
KEEPALIVE_PROBES = 2
NO_ANSWER_SECONDS = 2.0
"""So much later than the server itself would give up, it is taken for gone."""

_READING = "reading"
_MIGRATION_LOCK = "migration of the control plane"

Insert = sqlite.Insert | postgresql.Insert


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one statement may take, and wait for a lock."""

    statement_seconds: float
    lock_seconds: float


SERVING = Patience(STATEMENT_SECONDS_MAX, LOCK_SECONDS_MAX)
MIGRATING = Patience(MIGRATION_SECONDS_MAX, MIGRATION_SECONDS_MAX)


def open_engine(url: str) -> AsyncEngine:
    """Connections for units of work. `url` is SQLAlchemy's for SQLite, libpq's for PostgreSQL."""
    if _is_sqlite(url):
        engine = create_async_engine(
            url, connect_args={"factory": _Connection}, max_overflow=0, hide_parameters=True
        )
        _prepare_sqlite(engine.sync_engine)
        return engine
    return create_async_engine(
        f"{POSTGRES}://",
        connect_args=_postgres_arguments(url, SERVING),
        pool_size=POSTGRES_CONNECTIONS_MAX,
        pool_timeout=POOL_WAIT_SECONDS_MAX,
        # A server that was away costs the first asker no failure.
        pool_pre_ping=True,
        max_overflow=0,
        hide_parameters=True,
    )


def open_migration_engine(url: str) -> sa.Engine:
    """The same database through a driver that needs no event loop."""
    if _is_sqlite(url):
        address = sa.make_url(url).set(drivername="sqlite")
        engine = sa.create_engine(address, poolclass=sa.NullPool, hide_parameters=True)
        _prepare_sqlite(engine)
        return engine
    return sa.create_engine(
        f"{POSTGRES}://",
        connect_args=_postgres_arguments(url, MIGRATING),
        poolclass=sa.NullPool,
        hide_parameters=True,
    )


def for_reading(engine: AsyncEngine) -> AsyncEngine:
    """Connections whose units of work write nothing, and see the database of one moment."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_READING: True})
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def prepare_migration(connection: sa.Connection) -> None:
    """Keeps other processes that migrate waiting until this transaction ends."""
    if connection.dialect.name == "sqlite":
        return  # BEGIN IMMEDIATE does.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_number_of(_MIGRATION_LOCK))))
    connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))


async def hold(session: AsyncSession, *names: str) -> None:
    """Keeps others who hold one of these names waiting until this unit of work ends.

    For what has no row yet that could be locked. Take what you need in one call, before any row:
    two who take names in another order would wait for each other.
    """
    if session.get_bind().dialect.name == "sqlite":
        return  # It has one writer at a time.
    for number in sorted(map(_number_of, names)):
        await session.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def insert(session: AsyncSession, into: type[DeclarativeBase] | sa.Table) -> Insert:
    """An INSERT that can say what to do `on_conflict`."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(into)
    return postgresql.insert(into)


def is_unavailable(error: sa.exc.StatementError) -> bool:
    """Whether the statement failed for reasons that pass, and not because of what it says."""
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return True
    if not isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return False
    return getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR


class _Connection(sqlite3.Connection):
    """Gives its lock back when it is closed, also in the middle of a unit of work.

    SQLite itself would wait until the last cursor is gone, and whoever was cancelled may still hold
    one: nobody could write meanwhile.
    """

    def close(self) -> None:
        with suppress(sqlite3.ProgrammingError):
            self.rollback()
        super().close()


def _is_sqlite(url: str) -> bool:
    return url.startswith("sqlite")


def _number_of(name: str) -> int:
    """A lock's number. Names that share one by chance wait for each other, and nothing worse."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def _postgres_arguments(url: str, patience: Patience) -> dict[str, Any]:
    settings = {
        "search_path": SCHEMA,
        "timezone": "UTC",
        "synchronous_commit": "on",
        "statement_timeout": _milliseconds(patience.statement_seconds),
        "lock_timeout": _milliseconds(patience.lock_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_SECONDS_MAX),
    }
    return conninfo_to_dict(
        url,
        application_name="perdure-control",
        options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
        connect_timeout=CONNECT_SECONDS_MAX,
        keepalives_idle=KEEPALIVE_SECONDS,
        keepalives_interval=KEEPALIVE_SECONDS,
        keepalives_count=KEEPALIVE_PROBES,
        tcp_user_timeout=_milliseconds(patience.statement_seconds + NO_ANSWER_SECONDS),
    )


def _prepare_sqlite(engine: sa.Engine) -> None:
    """Writers take the lock at BEGIN: a reader that turns writer could not wait for it."""

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={SQLITE_BUSY_MILLISECONDS}",
            "journal_mode=wal",
            "foreign_keys=on",
            "synchronous=full",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        is_reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1_000)
