"""The real world: the machine's clocks, its randomness, asyncio tasks."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from time import monotonic, monotonic_ns, time_ns
from typing import Any

log = logging.getLogger(__name__)

SLEW_PER_SECOND_MAX = 0.0005
"""Share of elapsed time by which the clock may run faster or slower to meet wall time again."""

ENTROPY_BYTES = 4096
"""How many random bytes are asked of the system at once."""


class SlewedClock:
    """Wall time that follows the monotonic clock and drifts towards wall time without jumps.

    A wall clock set an hour forward or back moves no timer: the difference is made up at
    `SLEW_PER_SECOND_MAX`, that is 1.8 s an hour.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time_ns,
        steady_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._seen_ns = steady_ns()
        self._now_ns = wall_ns()

    def now_ns(self) -> int:
        elapsed_ns = self._steady_ns() - self._seen_ns
        if elapsed_ns <= 0:
            return self._now_ns
        self._seen_ns += elapsed_ns
        target_ns = self._now_ns + elapsed_ns
        slew_ns = int(elapsed_ns * SLEW_PER_SECOND_MAX)
        off_ns = self._wall_ns() - target_ns
        self._now_ns = target_ns + max(-slew_ns, min(slew_ns, off_ns))
        return self._now_ns


class SystemEnv:
    """`Env` on this machine and this thread's running event loop.

    Its monotonic clock is that of asyncio's and uvloop's loops. All clocks are the system's own
    functions, taken when this module is imported: the client library guards those of the `time`
    module while it runs workflows in this process, and each look would go through a guard.
    """

    monotonic = staticmethod(monotonic)

    def __init__(self, wall_ns: Callable[[], int] = time_ns) -> None:
        self._clock = SlewedClock(wall_ns)
        # For jitter alone; what must not be guessed comes from `token_bytes`.
        self._random = random.Random()  # noqa: S311
        self._entropy = b""
        self._entropy_used = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def random(self) -> float:
        return self._random.random()

    def token_bytes(self, count: int) -> bytes:
        if count > len(self._entropy) - self._entropy_used:
            self._entropy = os.urandom(max(count, ENTROPY_BYTES))
            self._entropy_used = 0
        begin = self._entropy_used
        self._entropy_used += count
        return self._entropy[begin : self._entropy_used]

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # What goes on beside a call is nobody's call: it takes no trace and no id along.
        task = asyncio.get_running_loop().create_task(work, name=name, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, callback, context=Context())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", exc_info=error, extra={"task": task.get_name()})
