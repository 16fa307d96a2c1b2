"""The control plane's database: connection, unit of work and column types."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SQLITE_BUSY_MILLISECONDS = 5_000
POSTGRES_CONNECTIONS_MAX = 8
ENUM_CHARACTERS = 20

CHANGED = "changed"
"""Key in a session's info: this unit of work altered what the snapshot holds."""

_READING = "reading"


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite forgets the zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


def stored_enum(kind: type[StrEnum]) -> sa.Enum:
    """An enum stored as its text, so that a new member needs no migration."""
    return sa.Enum(
        kind,
        native_enum=False,
        length=ENUM_CHARACTERS,
        values_callable=lambda members: [member.value for member in members],
    )


class Model(DeclarativeBase):
    """One row of the control plane."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012 - SQLAlchemy reads this name


class Database:
    """Opens units of work; `changed` is set after each commit that the snapshot must follow."""

    def __init__(self, url: str) -> None:
        is_sqlite = sa.make_url(url).get_backend_name() == "sqlite"
        limits: dict[str, Any] = {} if is_sqlite else {"pool_size": POSTGRES_CONNECTIONS_MAX}
        self._engine = create_async_engine(url, max_overflow=0, hide_parameters=True, **limits)
        if is_sqlite:
            prepare_sqlite(self._engine.sync_engine)
        self._writers = async_sessionmaker(self._engine, expire_on_commit=False)
        self._readers = async_sessionmaker(
            self._engine.execution_options(**{_READING: True}), expire_on_commit=False
        )
        self.changed = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Commits when the block ends, rolls back when it raises."""
        async with self._writers.begin() as session:
            yield session
        if session.info.get(CHANGED):
            self.changed.set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A unit of work that waits for no writer and keeps none waiting."""
        async with self._readers() as session:
            yield session

    async def aclose(self) -> None:
        await self._engine.dispose()


def prepare_sqlite(engine: sa.Engine) -> None:
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
