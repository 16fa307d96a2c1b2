"""The store under a node: slow, sometimes failing, sometimes silent about what it did."""

from __future__ import annotations

import asyncio
import copy
import math
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from engine.errors import StoreError, StoreFull, StoreRejected, StoreUnavailable
from engine.persistence.memory import MemoryStore
from engine.persistence.protocols import (
    FactRow,
    HistoryBatch,
    NamespaceRow,
    RunKey,
    RunWrite,
    ShardLease,
    ShardWrite,
    StoredRun,
    Wakeup,
)
from engine.visibility.query import VisibilityQuery, VisibilityRow
from tests.simulation.history_log import Commit, LeaseTaken, Record
from tests.simulation.loop import Host, SimLoop, settle
from tests.simulation.sqlite import SqliteRows
from tests.simulation.swarm import Buggify

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]

READ_SHARE = 0.3
"""A read's latency as a share of a commit's."""

SPIKE_SECONDS_MAX = 8.0
LATE_SECONDS_MAX = 3.0


class Disk:
    """What all nodes of a cell share: the stored rows, and the faults on the way to them."""

    def __init__(
        self,
        loop: SimLoop,
        rng: random.Random,
        buggify: Buggify,
        record: Record,
        *,
        commit_seconds: float,
        in_files: bool = False,
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.buggify = buggify
        self.record = record
        self.rows: MemoryStore | SqliteRows = SqliteRows() if in_files else MemoryStore()
        self.renewed_at: dict[int, float] = {}
        """When the lease of a shard was last written."""
        self.spike_until = 0.0
        self.full_until = 0.0
        self._commit_seconds = commit_seconds

    def latency(self, share: float = 1.0) -> float:
        seconds = share * self._commit_seconds * (0.5 + self.rng.expovariate(2.0))
        if self.loop.time() < self.spike_until:
            seconds += self.rng.random() * SPIKE_SECONDS_MAX
        return seconds

    def cut_power(self) -> None:
        """What is in files loses what was not synced."""
        if isinstance(self.rows, SqliteRows):
            self.rows.cut_power(self.rng)

    def close(self) -> None:
        """Nothing is read of it any more."""
        if isinstance(self.rows, SqliteRows):
            self.rows.remove()

    def is_faulty(self) -> bool:
        """Whether a store's failure now is the simulator's doing."""
        return self.buggify.is_active or self.loop.time() < max(self.spike_until, self.full_until)

    def heal(self) -> None:
        self.spike_until = self.full_until = 0.0

    async def ask(self, work: Work[T], delay: float, fate: StoreError | None = None) -> T:
        """`work` runs at the store after `delay`, also where the asking host dies meanwhile.

        With a `fate` the asker learns that instead of the result.
        """
        answer: asyncio.Future[T] = self.loop.create_future()
        self.loop.outside(delay / 2, self._execute, work, answer, delay / 2, fate)
        return await answer

    async def refuse(self, error: StoreError) -> NoReturn:
        """Fails after the usual time without having done anything."""
        await asyncio.sleep(self.latency())
        raise error

    def _execute(
        self, work: Work[T], answer: asyncio.Future[T], delay: float, fate: StoreError | None
    ) -> None:
        result: T | None = None
        failure: BaseException | None = fate
        try:
            result = run_now(work())
        except StoreError as error:
            failure = error
        self.loop.outside(delay, settle, answer, result, failure)


class SimDisk:
    """`Store` of one host."""

    def __init__(self, disk: Disk, host: Host) -> None:
        self.disk = disk
        self.host = host

    async def open(self, shard_count: int) -> None:
        await self._read(lambda: self.disk.rows.open(shard_count))

    async def close(self) -> None:
        """The rows belong to the cell."""

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        disk = self.disk
        kept = [_copy(write) for write in writes]

        def work() -> Coroutine[Any, Any, frozenset[int]]:
            return self.write(kept)

        if disk.loop.time() < disk.full_until or disk.buggify("commit.full"):
            disk.record.sometimes["the disk was full"] += 1
            await disk.refuse(StoreFull("simulated: disk full"))
        if disk.buggify("commit.rejected"):
            await disk.refuse(StoreRejected("simulated: refused"))
        if disk.buggify("commit.lost"):
            disk.record.sometimes["a commit was lost, outcome unknown"] += 1
            await disk.refuse(StoreUnavailable("simulated: lost before the commit"))
        if disk.buggify("commit.late"):
            disk.record.sometimes["a commit came late, outcome unknown"] += 1
            late = disk.rng.random() * LATE_SECONDS_MAX
            disk.loop.outside(late, lambda: run_now(work()))
            await disk.refuse(StoreUnavailable("simulated: no answer yet"))
        delay = disk.latency()
        if disk.buggify("commit.slow"):
            delay += disk.rng.random() * SPIKE_SECONDS_MAX
        if disk.buggify("commit.unknown"):
            disk.record.sometimes["a commit was written, outcome unknown"] += 1
            unknown = StoreUnavailable("simulated: connection lost after the commit")
            return await disk.ask(work, delay, unknown)
        return await disk.ask(work, delay)

    async def write(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        """The commit at the store, and its lines in the commit log."""
        fenced = await self.disk.rows.commit(writes)
        self.note(writes, fenced)
        return fenced

    def note(self, writes: Sequence[ShardWrite], fenced: frozenset[int]) -> None:
        record = self.disk.record
        order = record.tick()
        for write in writes:
            commit = Commit(
                order=order,
                at=self.disk.loop.time(),
                host=self.host.name,
                shard_id=write.shard_id,
                epoch=write.epoch,
                sequence=write.sequence,
                fenced=write.shard_id in fenced,
                runs=write.runs,
                facts=write.facts,
            )
            record.commits.append(commit)
            if commit.fenced:
                record.sometimes["a fenced commit was refused"] += 1

    async def acquire(
        self, shard_ids: Sequence[int], owner: str, now_ns: int, expires_at_ns: int
    ) -> list[ShardLease]:
        disk = self.disk

        async def work() -> list[ShardLease]:
            owners = {lease.shard_id: lease.owner for lease in await disk.rows.leases()}
            taken = await disk.rows.acquire(shard_ids, owner, now_ns, expires_at_ns)
            order, now = disk.record.tick(), disk.loop.time()
            for lease in taken:
                id_, is_other = lease.shard_id, owners[lease.shard_id] not in ("", owner)
                stood_seconds = now - disk.renewed_at[id_] if is_other else math.inf
                disk.renewed_at[id_] = now
                entry = LeaseTaken(order, id_, lease.epoch, owner, stood_seconds)
                disk.record.leases.append(entry)
                if lease.epoch > 1:
                    disk.record.sometimes["a shard changed hands"] += 1
            return taken

        return await self._lease(work)

    async def renew(self, epochs: Mapping[int, int], expires_at_ns: int) -> frozenset[int]:
        disk = self.disk

        async def work() -> frozenset[int]:
            kept = await disk.rows.renew(epochs, expires_at_ns)
            disk.renewed_at.update(dict.fromkeys(sorted(kept), disk.loop.time()))
            return kept

        return await self._lease(work)

    async def leases(self) -> list[ShardLease]:
        return await self._read(self.disk.rows.leases)

    async def load(self, keys: Sequence[RunKey]) -> list[StoredRun | None]:
        return await self._read(lambda: self.disk.rows.load(keys))

    async def read_history(
        self, key: RunKey, first_event_id: int, last_event_id: int, bytes_max: int
    ) -> list[HistoryBatch]:
        rows = self.disk.rows
        return await self._read(
            lambda: rows.read_history(key, first_event_id, last_event_id, bytes_max)
        )

    async def active_runs(self, shard_id: int) -> list[RunKey]:
        return await self._read(lambda: self.disk.rows.active_runs(shard_id))

    async def wakeups(
        self, shard_id: int, after: Wakeup, until_ns: int, limit: int
    ) -> list[Wakeup]:
        rows = self.disk.rows
        return await self._read(lambda: rows.wakeups(shard_id, after, until_ns, limit))

    async def workflow_ids(self, shard_id: int) -> list[tuple[str, str]]:
        return await self._read(lambda: self.disk.rows.workflow_ids(shard_id))

    async def list_visibility(self, query: VisibilityQuery) -> list[VisibilityRow]:
        return await self._read(lambda: self.disk.rows.list_visibility(query))

    async def count_visibility(self, query: VisibilityQuery) -> list[tuple[str, int]]:
        return await self._read(lambda: self.disk.rows.count_visibility(query))

    async def read_facts(self, after_position: int, limit: int) -> list[FactRow]:
        return await self._read(lambda: self.disk.rows.read_facts(after_position, limit))

    async def delete_facts(self, up_to_position: int) -> None:
        await self._read(lambda: self.disk.rows.delete_facts(up_to_position))

    async def read_summaries(
        self, namespace_id: str, after_run_id: str, limit: int
    ) -> list[tuple[RunKey, bytes]]:
        rows = self.disk.rows
        return await self._read(lambda: rows.read_summaries(namespace_id, after_run_id, limit))

    async def put_namespace(self, row: NamespaceRow) -> None:
        await self._read(lambda: self.disk.rows.put_namespace(row))

    async def namespaces(self) -> list[NamespaceRow]:
        return await self._read(self.disk.rows.namespaces)

    async def _read(self, work: Work[T]) -> T:
        if self.disk.buggify("read.fails"):
            raise StoreUnavailable("simulated: read failed")
        return await self.disk.ask(work, self.disk.latency(READ_SHARE))

    async def _lease(self, work: Work[T]) -> T:
        fate = None
        if self.disk.buggify("lease.unknown"):
            fate = StoreUnavailable("simulated: connection lost after a change of leases")
        return await self.disk.ask(work, self.disk.latency(), fate)


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, as those of the store in memory."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise AssertionError("the store in memory waited")


def _copy(write: ShardWrite) -> ShardWrite:
    """What the asker had when it asked: a store has read it by then."""
    kept = copy.copy(write)
    kept.runs = [_copy_run(run) for run in write.runs]
    return kept


def _copy_run(run: RunWrite) -> RunWrite:
    kept = copy.copy(run)
    kept.history = list(run.history)
    kept.items = dict(run.items)
    return kept
