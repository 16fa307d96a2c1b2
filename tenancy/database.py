"""The control plane's database: connection, unit of work and column types."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute

from tenancy.dialects import for_reading, is_unavailable, open_engine
from tenancy.errors import DatabaseUnavailable, InvalidField, TenancyError

logger = logging.getLogger(__name__)

ENUM_CHARACTERS = 20

CHANGED = "changed"
"""Key in a session's info: this unit of work altered what the snapshot holds."""

ROWS_FORGOTTEN_AT_ONCE = 1_000
"""More than any unit of work that forgets adds."""

POSTED = "posted"
"""Key in a session's info: this unit of work has letters for the postman."""


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite forgets the zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "a naive datetime names no moment"
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# PostgreSQL has no place for NUL, and UTF-8 none for halves of characters.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Text(sa.TypeDecorator[str]):
    """Text that every database can store; other text is refused, also in a question."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        if value is not None and _UNSTORABLE.search(value):
            raise InvalidField("text", "must be Unicode without the character NUL", "remove that")
        return value


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
    """Opens units of work; `changed` is set after each commit that the snapshot must follow, and
    `posted` after one with letters.

    What a unit of work reads may have changed when it writes, unless it holds a lock: that of the
    account (`tenancy.accounts.locked_account`) for all that belongs to one, taken first.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._writers = async_sessionmaker(self._engine, expire_on_commit=False)
        self._readers = async_sessionmaker(for_reading(self._engine), expire_on_commit=False)
        self.changed = asyncio.Event()
        self.posted = asyncio.Event()
        self.failure_count = 0
        """Units of work that it did not do because it was away or gave up."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Commits when the block ends, rolls back when it raises. Raises DatabaseUnavailable."""
        with self._failures_counted():
            async with self._writers.begin() as session:
                yield session
        if session.info.get(CHANGED):
            self.changed.set()
        if session.info.get(POSTED):
            self.posted.set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A unit of work that waits for no writer, keeps none waiting, and sees one moment."""
        with self._failures_counted():
            async with self._readers() as session:
                yield session

    async def aclose(self) -> None:
        await self._engine.dispose()

    @contextmanager
    def _failures_counted(self) -> Iterator[None]:
        try:
            with failures_told():
                yield
        except DatabaseUnavailable:
            self.failure_count += 1
            raise


async def forget(
    session: AsyncSession,
    key: InstrumentedAttribute[str] | InstrumentedAttribute[bytes],
    is_over: sa.ColumnElement[bool],
) -> None:
    """Deletes rows that are over, not many in one unit of work: the rest goes with the next ones.

    Those that somebody else is about to delete are left to them: two who take many rows, each in
    another order, would wait for each other.
    """
    over = sa.select(key).where(is_over).limit(ROWS_FORGOTTEN_AT_ONCE)
    over = over.with_for_update(skip_locked=True)
    await session.execute(
        sa.delete(key.class_).where(key.in_(over)),
        execution_options={"synchronize_session": False},
    )


@contextmanager
def failures_told() -> Iterator[None]:
    """What the driver raises, as what it means to a caller. The rest is a defect of ours."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise DatabaseUnavailable from error
    except sa.exc.StatementError as error:
        if isinstance(error.orig, TenancyError):
            raise error.orig from None
        if not is_unavailable(error):
            raise
        if getattr(error.orig, "sqlstate", None) is not None:
            # It answers, but with a lock timeout, say, or a deadlock: worth an operator's look.
            logger.warning("database_gave_up", extra={"error": type(error.orig).__name__})
        raise DatabaseUnavailable from error
