"""The world as one simulated node sees it: its own clock, its own randomness, its own tasks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from engine.env.system import SlewedClock
from tests.simulation.loop import Host, SimLoop

START_NS = 1_767_229_170_000_000_000
"""Wall time at virtual time 0: 2026-01-01 00:59:30 UTC, so that every seed crosses an hour."""

NANOSECONDS = 1_000_000_000


def true_now_ns(loop: SimLoop) -> int:
    """Wall time of the world, which no node knows."""
    return START_NS + int(loop.time() * NANOSECONDS)


class SimEnv:
    """`Env` of one life of a host: wall time is off by `skew_seconds` and runs `drift` too fast.

    It is read through the clock of the product. The wall clock may `jump` during a life; the next
    life starts with another skew and without the jump.
    """

    def __init__(
        self, loop: SimLoop, host: Host, rng: random.Random, *, skew_seconds: float, drift: float
    ) -> None:
        self._loop = loop
        self._host = host
        self._rng = rng
        self._start_ns = START_NS + int(skew_seconds * NANOSECONDS)
        self._ns_per_second = NANOSECONDS * (1 + drift)
        self._clock = SlewedClock(self._wall_ns, self._monotonic_ns)

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def jump(self, seconds: float) -> None:
        """From now on the machine's wall clock shows so much more."""
        self._start_ns += int(seconds * NANOSECONDS)

    def _wall_ns(self) -> int:
        return self._start_ns + int(self._loop.time() * self._ns_per_second)

    def _monotonic_ns(self) -> int:
        return int(self._loop.time() * NANOSECONDS)

    def monotonic(self) -> float:
        return self._loop.time()

    def random(self) -> float:
        return self._rng.random()

    def token_bytes(self, count: int) -> bytes:
        return self._rng.randbytes(count)

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        context = self._host.new_context()
        task = self._loop.create_task(work, name=f"{self._host.name}/{name}", context=context)
        task.add_done_callback(self._finished)
        return task

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, callback, context=self._host.new_context())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": task.get_name(), "exception": error})
