"""Connections to the server: how they are opened and kept, and what their failures mean."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo

from engine.errors import (
    DataLoss,
    DeadlineExceeded,
    EngineError,
    StoreError,
    StoreFull,
    StoreRejected,
    StoreUnavailable,
)
from engine.persistence.postgres import arrays
from engine.persistence.postgres.schema import SCHEMA

WRITE_SECONDS_MAX = 10.0
READ_SECONDS_MAX = 10.0
MIGRATE_SECONDS_MAX = 600.0
LOCK_SECONDS_MAX = 5.0
IDLE_IN_TRANSACTION_SECONDS_MAX = 10.0
NO_ANSWER_SECONDS = 2.0
"""So much later than the server itself would give up, it is taken for gone."""

CONNECT_SECONDS_MAX = 5
KEEPALIVE_SECONDS = 5
RECONNECT_SECONDS_FIRST = 0.05
RECONNECT_SECONDS_MAX = 1.0

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Row = tuple[Any, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Role:
    """What connections of a kind may take, and how the server is to plan their statements."""

    seconds_max: float
    settings: tuple[tuple[str, str], ...] = ()

    def within(self, schema: str) -> Role:
        """The same for tables in that schema."""
        return replace(self, settings=(*self.settings, ("search_path", schema)))

    def conninfo(self, url: str) -> str:
        settings = {
            "search_path": SCHEMA,
            "synchronous_commit": "on",
            "statement_timeout": _ms(self.seconds_max),
            "lock_timeout": _ms(min(LOCK_SECONDS_MAX, self.seconds_max)),
            "idle_in_transaction_session_timeout": _ms(IDLE_IN_TRANSACTION_SECONDS_MAX),
        } | dict(self.settings)
        return make_conninfo(
            url,
            application_name="perdure",
            options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
            connect_timeout=CONNECT_SECONDS_MAX,
            keepalives_idle=KEEPALIVE_SECONDS,
            keepalives_interval=KEEPALIVE_SECONDS,
            keepalives_count=2,
            tcp_user_timeout=int(_ms(self.seconds_max + NO_ANSWER_SECONDS)),
        )


BY_KEY = (
    # The statements find rows by key, whatever the statistics of an empty table once said.
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
)
WRITE = Role(WRITE_SECONDS_MAX, BY_KEY)
MIGRATE = Role(MIGRATE_SECONDS_MAX, (("lock_timeout", "0"),))
LOOK_UP = Role(READ_SECONDS_MAX, BY_KEY)


def search_role(seconds_max: float) -> Role:
    return Role(seconds_max, (("jit", "off"),))


class Session:
    """One connection, for one asker at a time; a lost one is made anew when it is wanted."""

    def __init__(self, url: str, role: Role) -> None:
        self._conninfo = role.conninfo(url)
        self._seconds_max = role.seconds_max + NO_ANSWER_SECONDS
        self._connection: Connection | None = None
        self._retry_at = 0.0
        self._pause_seconds = 0.0

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` returns. Raises psycopg.Error, StoreUnavailable."""
        connection = await self._connected()
        timer = asyncio.get_running_loop().call_later(self._seconds_max, _cut, connection)
        try:
            return await work(connection)
        finally:
            timer.cancel()
            if connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                await self.close()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> Connection:
        if self._connection is not None:
            return self._connection
        loop = asyncio.get_running_loop()
        if loop.time() < self._retry_at:
            raise StoreUnavailable("the server could not be reached a moment ago")
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True, cursor_factory=psycopg.AsyncRawCursor
            )
        except psycopg.Error as error:
            self._pause_seconds = min(
                max(2 * self._pause_seconds, RECONNECT_SECONDS_FIRST), RECONNECT_SECONDS_MAX
            )
            self._retry_at = loop.time() + self._pause_seconds
            raise StoreUnavailable(f"PostgreSQL cannot be reached: {error}") from error
        self._pause_seconds = 0.0
        arrays.register(connection)
        self._connection = connection
        return connection


def _cut(connection: Connection) -> None:
    """Whoever waits for an answer on it learns that there will be none."""
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)


class Connections:
    """A few connections for one kind of work. What was begun outlives an asker who gives up."""

    def __init__(self, url: str, role: Role, count: int) -> None:
        self._sessions = [Session(url, role) for _ in range(count)]
        self._idle: asyncio.Queue[Session] = asyncio.Queue()
        for session in self._sessions:
            self._idle.put_nowait(session)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` returns or raises, on the next connection that is free."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        task = asyncio.ensure_future(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Finish what was taken, then close."""
        self._is_closed = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in self._sessions:
            await session.close()

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        session = await self._idle.get()
        try:
            return await session.run(work)
        finally:
            self._idle.put_nowait(session)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Heard, although whoever asked may be gone.
            task.exception()


async def fetch(
    connection: Connection, statement: str, *parameters: Any, prepare: bool = True
) -> list[Row]:
    """The rows of one statement with `$1` …, values and answer in binary."""
    cursor = await connection.execute(statement.encode(), parameters, prepare=prepare, binary=True)
    return await cursor.fetchall() if cursor.description else []


REJECTING: tuple[type[Exception], ...] = (
    errors.DataError,
    errors.IntegrityError,
    errors.ProgramLimitExceeded,
    UnicodeError,
    OverflowError,
    struct.error,
)
"""Failures that lie in the rows themselves: the same transaction would fail again."""


def write_failure(error: Exception) -> Exception:
    """What a failed write means to the one who asked for it.

    Only what the server itself refused is known not to be written. A cancelled statement is
    taken for unknown: a commit that waits for a standby can be cancelled when it is written.
    """
    if isinstance(error, StoreError | EngineError):
        return error
    if isinstance(error, errors.DiskFull):
        return StoreFull()
    if isinstance(error, REJECTING):
        return StoreRejected(f"PostgreSQL refused a row: {type(error).__name__}")
    if isinstance(error, psycopg.Error | OSError):
        return StoreUnavailable(f"PostgreSQL failed: {_named(error)}")
    return error


def read_failure(error: Exception, seconds_max: float) -> Exception:
    """What a failed read means."""
    if isinstance(error, errors.QueryCanceled):
        return DeadlineExceeded(f"the store read for {seconds_max:g} s; ask for less at once")
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return DataLoss()
    if isinstance(error, psycopg.Error | OSError):
        return StoreUnavailable(f"PostgreSQL failed to read: {_named(error)}")
    return error


def _named(error: Exception) -> str:
    """Its kind and first line: the details may quote a tenant's values."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _ms(seconds: float) -> str:
    return str(int(seconds * 1_000))
