"""Bugs to plant: each must be caught by a named invariant within a bounded number of seeds.

They sit at the seams that the simulator owns (store, clock) or replace one function of the
engine while a test runs, so that the product carries no switch for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from engine.persistence.memory import MemoryStore
from engine.persistence.protocols import ItemKind, RunKey, ShardWrite, StoredRun, Wakeup
from tests.simulation.disk import SimDisk, run_now
from tests.simulation.loop import settle

LAZY_SECONDS_MAX = 0.5


class FencedRowsWritten(SimDisk):
    """A pipelined commit: the epoch check matches no row, but the inserts run all the same."""

    async def write(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        rows = self.disk.rows
        epochs = {lease.shard_id: lease.epoch for lease in await rows.leases()}
        await rows.commit([replace(write, epoch=epochs[write.shard_id]) for write in writes])
        self.note(writes, frozenset())
        return frozenset(w.shard_id for w in writes if w.epoch != epochs[w.shard_id])


class AcknowledgedBeforeCommit(SimDisk):
    """A commit that returns at once and is written a little later, if the process lives on."""

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        loop, delay = self.disk.loop, self.disk.rng.random() * LAZY_SECONDS_MAX
        loop.call_later(delay, self._write_lazily, list(writes))
        answer: asyncio.Future[frozenset[int]] = loop.create_future()
        loop.outside(self.disk.latency(), settle, answer, frozenset(), None)
        return await answer

    def _write_lazily(self, writes: Sequence[ShardWrite]) -> None:
        run_now(self.write(writes))


class TimersLostOnTakeover(SimDisk):
    """Recovery that does not read the wake-up table."""

    async def wakeups(
        self, shard_id: int, after: Wakeup, until_ns: int, limit: int
    ) -> list[Wakeup]:
        await super().wakeups(shard_id, after, until_ns, limit)
        return []


class TasksLostOnTakeover(SimDisk):
    """Recovery that does not read which runs have tasks to offer."""

    async def active_runs(self, shard_id: int) -> list[RunKey]:
        await super().active_runs(shard_id)
        return []


class SummaryLostWithRun(SimDisk):
    """A deletion that takes along what the run was counted for."""

    async def write(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        fenced = await super().write(writes)
        rows = self.disk.rows
        assert isinstance(rows, MemoryStore)
        for run in (run for write in writes for run in write.runs if run.deleted):
            rows._summaries.pop(run.key, None)
        return fenced


class BufferLostOnTakeover(SimDisk):
    """Recovery that does not read what waited behind a workflow task."""

    async def load(self, keys: Sequence[RunKey]) -> list[StoredRun | None]:
        return [run and _without_buffer(run) for run in await super().load(keys)]


def _without_buffer(run: StoredRun) -> StoredRun:
    items = {item: row for item, row in run.items.items() if item[0] != ItemKind.BUFFERED_EVENT}
    return run._replace(items=items)
