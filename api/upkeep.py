"""What runs beside the requests: each piece of upkeep in a task of its own, never given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Upkeep:
    """Runs steps again and again. A step returns how many seconds later it is due again."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(
        self,
        name: str,
        step: Callable[[], Awaitable[float]],
        *,
        wake: asyncio.Event | None = None,
    ) -> None:
        """`wake` makes the step due at once."""
        task = asyncio.create_task(_repeat(name, step, wake or asyncio.Event()), name=name)
        self._tasks.append(task)

    def every(
        self,
        seconds: float,
        name: str,
        act: Callable[[], Awaitable[object]],
        *,
        wake: asyncio.Event | None = None,
    ) -> None:
        """For a step that is due again always that long after it was done."""

        async def step() -> float:
            await act()
            return seconds

        self.start(name, step, wake=wake)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _repeat(name: str, step: Callable[[], Awaitable[float]], wake: asyncio.Event) -> None:
    is_failing = False
    while True:
        wake.clear()
        try:
            seconds = await step()
            is_failing = False
        except Exception as error:
            # Told once: a step that fails each second would bury everything else.
            if not is_failing:
                extra = {"task": name, "error": type(error).__name__, "why": str(error)}
                logger.warning("upkeep_failed", extra=extra, exc_info=error)
            is_failing = True
            seconds = RETRY_SECONDS
        # Not `wait_for`: before Python 3.12 it can swallow a cancellation that comes with the wake.
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            continue
