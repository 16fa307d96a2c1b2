"""Runs leave the store a bounded number at a time, however many have to leave at once.

Between two of these commits everybody else's go on, and none of them takes long.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from itertools import islice

from engine.cell.find_together import find_together
from engine.cell.loaded_run import LoadedRun
from engine.cell.shard import Shard
from engine.cell.wakeups import LOOK_AGAIN_SECONDS
from engine.env import Env
from engine.errors import EngineError, Unavailable
from engine.limits import EVENTS_FORGOTTEN_PER_COMMIT_MAX, RUNS_FORGOTTEN_PER_COMMIT_MAX
from engine.persistence.protocols import RunKey

log = logging.getLogger(__name__)

Named = tuple[Shard, RunKey]


class Forgetting:
    """What a node's runs leave by, one commit's worth after the other."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._ended: deque[Named] = deque()
        self._is_running = False
        self._turn = asyncio.Lock()

    def retention_ended(self, shard: Shard, key: RunKey) -> None:
        """Forget the run when its turn comes. Its row tells the shard's next owner to, too."""
        self._ended.append((shard, key))
        if not self._is_running:
            self._is_running = True
            self._env.spawn("forget_runs", self._run())

    async def _run(self) -> None:
        try:
            while self._ended:
                left = await self._forget_some(self._ended)
                self._ended.extend(each for each in left if not each[0].lost)
                if left:
                    await self._env.sleep(LOOK_AGAIN_SECONDS)
        finally:
            self._is_running = False

    async def forget(self, named: Iterable[Named]) -> list[Named]:
        """Return when the runs are gone; those for which that failed are left, and returned."""
        waiting, left = deque(named), list[Named]()
        while waiting:
            left += await self._forget_some(waiting)
        return left

    async def _forget_some(self, waiting: deque[Named]) -> list[Named]:
        """Take from the first what one commit may delete, and wait for it; what was left."""
        async with self._turn:
            return await self._commit_some(waiting)

    async def _commit_some(self, waiting: deque[Named]) -> list[Named]:
        page = list(islice(waiting, RUNS_FORGOTTEN_PER_COMMIT_MAX))
        found = await find_together(page)
        forgotten: list[tuple[Shard, LoadedRun]] = []
        left: list[Named] = []
        event_count = 0
        for (shard, key), run in zip(page, found, strict=True):
            if isinstance(run, LoadedRun) and run is shard.held(key):
                event_count += run.state.run.next_event_id - 1
                if forgotten and event_count > EVENTS_FORGOTTEN_PER_COMMIT_MAX:
                    break
                if not run.deleted:
                    shard.forget(run)
                forgotten.append((shard, run))
            elif run is not None:
                left.append((shard, key))
                if isinstance(run, EngineError):
                    _tell(key, run)
            waiting.popleft()
        for shard, run in forgotten:
            try:
                await shard.durable(run)
            except EngineError as error:
                left.append((shard, run.key))
                _tell(run.key, error)
        return left


def _tell(key: RunKey, why: EngineError) -> None:
    # A lease that is over, or a store that is away, is told of elsewhere.
    tell = log.info if isinstance(why, Unavailable) else log.warning
    tell("run_not_forgotten", extra={"run_id": key.run_id, "why": str(why)})
