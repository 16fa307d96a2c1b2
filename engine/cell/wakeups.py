"""When a shard's runs are looked at: as the store has it of earlier owners, and as is decided."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine.cell.alarm import Alarm
from engine.cell.find_together import find_together, pages
from engine.cell.loaded_run import LoadedRun
from engine.errors import EngineError, Unavailable
from engine.history.protobuf import NANOSECONDS
from engine.limits import TIMER_WINDOW_SECONDS
from engine.persistence.protocols import FIRST_WAKEUP, RunKey

if TYPE_CHECKING:
    from engine.cell.shard import Shard, ShardParts

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 1
"""How long after a run that could not be read it is tried again."""

WAKEUPS_READ_AT_ONCE = 10_000


class Wakeups:
    """Has every run of the shard looked at when its earliest deadline comes."""

    def __init__(self, shard: Shard, parts: ShardParts) -> None:
        self._shard = shard
        self._env = parts.env
        self._store = parts.store
        self._alarm = Alarm(parts.env, self._ring, parts.measures)
        self._read_to = FIRST_WAKEUP

    def arm(self, run: LoadedRun) -> None:
        """Have the run looked at when its earliest deadline comes."""
        due_ns = run.state.next_deadline_ns()
        if due_ns is None or (run.wakeup_at_ns is not None and run.wakeup_at_ns <= due_ns):
            return
        run.wakeup_at_ns = due_ns
        self._alarm.set(due_ns, run.key)

    def look_again(self, key: RunKey, seconds: float) -> None:
        """Have a run looked at that left memory with what was due undone."""
        self._alarm.set(self._env.now_ns() + int(seconds * NANOSECONDS), key)

    def stop(self) -> None:
        self._alarm.stop()

    async def read_next_window(self) -> None:
        """Load the wake-ups of the near future; called before the present window ends."""
        if self._env.now_ns() > self._read_to[0] - TIMER_WINDOW_SECONDS * NANOSECONDS // 2:
            await self.read()

    async def read(self) -> None:
        """Load what the store has for the near future and is not loaded yet."""
        shard_id = self._shard.shard_id
        until_ns = self._env.now_ns() + TIMER_WINDOW_SECONDS * NANOSECONDS
        is_more = True
        while is_more:
            page = await self._store.wakeups(
                shard_id, self._read_to, until_ns, WAKEUPS_READ_AT_ONCE
            )
            for at_ns, key in page:
                run = self._shard.held(key)
                if run is None or run.wakeup_at_ns is None or run.wakeup_at_ns > at_ns:
                    self._alarm.set(at_ns, key)
                self._read_to = at_ns, key
            is_more = len(page) == WAKEUPS_READ_AT_ONCE
        # What is written for this time from here on has its alarm from its decision.
        self._read_to = (until_ns + 1, FIRST_WAKEUP[1])

    def _ring(self, due: list[RunKey]) -> None:
        self._env.spawn("look_at_due_runs", self._look(due))

    async def _look(self, due: Iterable[RunKey]) -> None:
        shard = self._shard
        for page in pages(due):
            found = await find_together([(shard, key) for key in page])
            if shard.lost:
                return
            for key, run in zip(page, found, strict=True):
                if isinstance(run, EngineError):
                    self._look_later(key, run)
                elif run is not None and run is shard.held(key):
                    shard.look_at(run)
                elif run is not None:
                    # It left memory again while others were read.
                    self.look_again(key, 0)
            # Calls are not kept waiting by many that are due.
            await self._env.sleep(0)

    def _look_later(self, key: RunKey, why: EngineError) -> None:
        # A lease that is over, or a store that is away, is told of elsewhere.
        tell = log.info if isinstance(why, Unavailable) else log.warning
        tell("due_run_not_loaded", extra={"run_id": key.run_id, "why": str(why)})
        self.look_again(key, LOOK_AGAIN_SECONDS)
