"""When the runs of a shard are to be looked at: one timer of the loop, at the earliest time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from engine.env import Env
from engine.history.protobuf import NANOSECONDS
from engine.measures import Measures
from engine.persistence.protocols import RunKey


class Alarm:
    """Calls `ring` with the keys whose time has come, never before it.

    A key may be set several times and is never unset: a look that finds nothing does nothing.
    """

    def __init__(self, env: Env, ring: Callable[[list[RunKey]], None], measures: Measures) -> None:
        self._env = env
        self._lag_seconds = measures.timer_lag_seconds
        self._ring = ring
        self._times: list[tuple[int, RunKey]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ns = 0

    def set(self, at_ns: int, key: RunKey) -> None:
        heapq.heappush(self._times, (at_ns, key))
        self._arm()

    def stop(self) -> None:
        self._times.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if not self._times:
            return
        at_ns = self._times[0][0]
        if self._timer is not None:
            if self._timer_at_ns <= at_ns:
                return
            self._timer.cancel()
        self._timer_at_ns = at_ns
        # The loop may wake a little before the time it was given; the timer is then set again.
        seconds = max(0.0, (at_ns - self._env.now_ns()) / NANOSECONDS)
        self._timer = self._env.call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now_ns = self._env.now_ns()
        due = []
        while self._times and self._times[0][0] <= now_ns:
            at_ns, key = heapq.heappop(self._times)
            due.append(key)
            self._lag_seconds.observe((now_ns - at_ns) / NANOSECONDS)
        if due:
            self._ring(due)
        self._arm()
