"""The store: which connection does what, off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from engine.errors import StoreUnavailable
from engine.persistence.protocols import (
    FactRow,
    HistoryBatch,
    NamespaceRow,
    RunKey,
    ShardLease,
    ShardWrite,
    StoredRun,
    Wakeup,
)
from engine.persistence.sqlite import commit, leases, runs, search
from engine.persistence.sqlite.checkpoint import Checkpointer
from engine.persistence.sqlite.connection import StoreFile
from engine.persistence.sqlite.lane import Lane
from engine.persistence.sqlite.reader import READ_SECONDS_MAX, Reader
from engine.persistence.sqlite.schema import prepare
from engine.persistence.sqlite.writer import Writer
from engine.visibility.query import VisibilityQuery, VisibilityRow

SEARCH_THREAD_COUNT = 2

QUICK_SECONDS_MAX = 0.001
"""A disk that syncs within it is waited for by the event loop itself: a thread that must win the
interpreter lock to begin, to go on and to answer takes longer. Slower disks have the thread."""

ROWS_AT_ONCE_MAX = 256
"""Larger commits have the thread in any case: their rows take longer than the sync."""

T = TypeVar("T")


class SqliteStore:
    """A `Store` in the file at `path`; nothing but calls makes it work.

    Writes, look-ups on the way to a commit, and reads that may take long have threads of their
    own, so that none waits behind another kind.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_seconds_max: float = READ_SECONDS_MAX,
        quick_seconds_max: float = QUICK_SECONDS_MAX,
        vfs: str | None = None,
    ) -> None:
        self._file = StoreFile(path, vfs)
        self._read_seconds_max = read_seconds_max
        self._quick_seconds_max = quick_seconds_max
        self._lanes: _Lanes | None = None

    async def open(self, shard_count: int) -> None:
        if self._lanes is not None:
            await self._write(lambda connection: prepare(connection, shard_count))
            return
        await asyncio.to_thread(self._file.create)
        self._lanes = _Lanes(self._file, self._read_seconds_max, self._quick_seconds_max)
        try:
            await self._write(lambda connection: prepare(connection, shard_count))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        lanes, self._lanes = self._lanes, None
        if lanes is not None:
            await lanes.close()

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        def work(connection: apsw.Connection) -> frozenset[int]:
            return commit.commit(connection, writes)

        lanes = self._opened()
        if lanes.writes.is_idle and _row_count(writes) <= ROWS_AT_ONCE_MAX:
            fenced = lanes.writer.transact_at_once(work)
            if fenced is not None:
                return fenced
        return await self._write(work)

    async def acquire(
        self, shard_ids: Sequence[int], owner: str, now_ns: int, expires_at_ns: int
    ) -> list[ShardLease]:
        return await self._write(
            lambda connection: leases.acquire(connection, shard_ids, owner, now_ns, expires_at_ns)
        )

    async def renew(self, epochs: Mapping[int, int], expires_at_ns: int) -> frozenset[int]:
        return await self._write(lambda connection: leases.renew(connection, epochs, expires_at_ns))

    async def leases(self) -> list[ShardLease]:
        return await self._look_up(leases.leases)

    async def load(self, keys: Sequence[RunKey]) -> list[StoredRun | None]:
        return await self._look_up(lambda connection: runs.load(connection, keys))

    async def read_history(
        self, key: RunKey, first_event_id: int, last_event_id: int, bytes_max: int
    ) -> list[HistoryBatch]:
        return await self._look_up(
            lambda connection: runs.read_history(
                connection, key, first_event_id, last_event_id, bytes_max
            )
        )

    async def active_runs(self, shard_id: int) -> list[RunKey]:
        return await self._search(lambda connection: runs.active_runs(connection, shard_id))

    async def wakeups(
        self, shard_id: int, after: Wakeup, until_ns: int, limit: int
    ) -> list[Wakeup]:
        return await self._search(
            lambda connection: runs.wakeups(connection, shard_id, after, until_ns, limit)
        )

    async def workflow_ids(self, shard_id: int) -> list[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        last = 0
        while page := await self._search(_page_of(shard_id, last)):
            last = page[-1][0]
            found.update((namespace_id, workflow_id) for _, namespace_id, workflow_id in page)
        return sorted(found)

    async def list_visibility(self, query: VisibilityQuery) -> list[VisibilityRow]:
        return await self._search(lambda connection: search.list_visibility(connection, query))

    async def count_visibility(self, query: VisibilityQuery) -> list[tuple[str, int]]:
        return await self._search(lambda connection: search.count_visibility(connection, query))

    async def read_facts(self, after_position: int, limit: int) -> list[FactRow]:
        return await self._search(
            lambda connection: runs.read_facts(connection, after_position, limit)
        )

    async def delete_facts(self, up_to_position: int) -> None:
        def delete_some(connection: apsw.Connection) -> bool:
            return runs.delete_some_facts(connection, up_to_position)

        # Other writes take their turns in between.
        while await self._write(delete_some):
            pass

    async def read_summaries(
        self, namespace_id: str, after_run_id: str, limit: int
    ) -> list[tuple[RunKey, bytes]]:
        return await self._search(
            lambda connection: runs.read_summaries(connection, namespace_id, after_run_id, limit)
        )

    async def put_namespace(self, row: NamespaceRow) -> None:
        await self._write(
            lambda connection: connection.execute(
                "INSERT INTO namespace (namespace_id, name, blob) VALUES (?, ?, ?)"
                " ON CONFLICT (namespace_id)"
                " DO UPDATE SET name = excluded.name, blob = excluded.blob",
                row,
            )
        )

    async def namespaces(self) -> list[NamespaceRow]:
        return await self._look_up(runs.namespaces)

    async def _write(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._opened().writes.run(lambda writer: writer.transact(work))

    async def _look_up(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._opened().look_ups.run(lambda reader: reader.read(work))

    async def _search(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._opened().searches.run(lambda reader: reader.read(work))

    def _opened(self) -> _Lanes:
        if self._lanes is None:
            raise StoreUnavailable("the store is not open")
        return self._lanes


class _Lanes:
    """The threads of an open store."""

    def __init__(self, file: StoreFile, read_seconds_max: float, quick_seconds_max: float) -> None:
        gate = threading.Lock()
        self.checkpointer = Checkpointer(file, gate)
        self.writer = Writer(file, gate, self.checkpointer.wrote, quick_seconds_max)
        self.writes = Lane("store-write", [self.writer])
        self.look_ups = Lane("store-look-up", [Reader(file, read_seconds_max)])
        self.searches = Lane(
            "store-search", [Reader(file, read_seconds_max) for _ in range(SEARCH_THREAD_COUNT)]
        )

    async def close(self) -> None:
        await self.searches.close()
        await self.look_ups.close()
        await asyncio.to_thread(self.checkpointer.stop)
        await self.writes.close()


def _page_of(
    shard_id: int, after_number: int
) -> Callable[[apsw.Connection], list[tuple[int, str, str]]]:
    return lambda connection: runs.workflow_ids_page(connection, shard_id, after_number)


def _row_count(writes: Sequence[ShardWrite]) -> int:
    """About how many rows a commit writes; a deletion may take any number along."""
    return sum(
        ROWS_AT_ONCE_MAX + 1 if run.deleted else 2 + len(run.items)
        for write in writes
        for run in write.runs
    )
