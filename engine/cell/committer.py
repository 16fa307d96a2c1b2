"""Group commit: all shards of a node that have something ready go in one transaction.

The next transaction starts when the last one ends and the event loop has turned once more; there
is no window to wait for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable

from engine.call import TRACE
from engine.cell.committed import note_runs, note_size
from engine.cell.shard import Shard
from engine.cell.taken import Taken
from engine.env import Env
from engine.errors import StoreError, StoreFull, StoreRejected
from engine.measures import Measures
from engine.metering.facts import fold
from engine.persistence.protocols import ShardWrite, Store

log = logging.getLogger(__name__)


class Committer:
    """Writes the shards of one store.

    `shards` gives the shards owned now. `lose` is told which of them are no longer ours, and
    whether the store failed: then what was written is unknown, and only a new epoch can tell.
    """

    def __init__(
        self,
        env: Env,
        store: Store,
        shards: Callable[[], Iterable[Shard]],
        lose: Callable[[list[Shard], StoreError | None], None],
        measures: Measures,
    ) -> None:
        self._measures = measures
        self._env = env
        self._store = store
        self._shards = shards
        self._lose = lose
        self._ready = asyncio.Event()
        self._traces: set[str] = set()

    def wake(self) -> None:
        """Something is ready to be written, for the call that is answered now."""
        if self._measures.is_watched and (trace := TRACE.get()):
            self._traces.add(trace)
        self._ready.set()

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            await self._ready.wait()
            # One turn of the loop: what has arrived already is decided and goes along.
            await self._env.sleep(0)
            self._ready.clear()
            taken = [(shard, shard.take()) for shard in self._shards() if shard.has_work]
            if taken:
                await self._commit(taken)

    async def _commit(self, taken: list[tuple[Shard, Taken]]) -> None:
        try:
            traces, self._traces = self._traces, set()
            writes = [_write(shard, part, traces) for shard, part in taken]
            fenced = await self._written(writes)
        except StoreFull as error:
            self._lose([shard for shard, _ in taken], error)
        except StoreRejected as error:
            self._measures.sums["store_errors", type(error).__name__] += 1
            log.warning("commit_replayed", extra={"why": str(error)})
            await self._replay(taken)
        except StoreError as error:
            self._lose([shard for shard, _ in taken], error)
        else:
            if fenced:
                self._lose([shard for shard, _ in taken if shard.shard_id in fenced], None)
            for shard, part in taken:
                if not shard.lost:
                    note_runs(self._measures, part.runs)
                    shard.committed(part.sequence)

    async def _written(self, writes: list[ShardWrite]) -> frozenset[int]:
        began = self._env.monotonic()
        try:
            return await self._store.commit(writes)
        finally:
            self._measures.commit_seconds.observe(self._env.monotonic() - began)
            if self._measures.is_watched:
                note_size(self._measures, writes)

    async def _replay(self, taken: list[tuple[Shard, Taken]]) -> None:
        """Write workflow id by workflow id; the one that the store refuses is parked, alone."""
        for shard, whole in taken:
            for part in whole.by_workflow():
                try:
                    fenced = await self._written([_write(shard, part)])
                except StoreRejected:
                    for run in part.runs:
                        log.exception("run_parked", extra={"run_id": run.write.key.run_id})
                        shard.park(run.write.key)
                except StoreError as error:
                    self._lose([shard], error)
                    break
                else:
                    if fenced:
                        self._lose([shard], None)
                        break
                    note_runs(self._measures, part.runs)
            if not shard.lost:
                shard.committed(whole.sequence)


def _write(shard: Shard, part: Taken, traces: Collection[str] = ()) -> ShardWrite:
    facts = [fact for run in part.runs for fact in run.facts]
    return ShardWrite(
        shard.shard_id,
        shard.epoch,
        part.sequence,
        [run.write for run in part.runs],
        fold(facts) if facts else None,
        traces,
    )
