"""Closed and open loops of load against one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.machine import Reading, foreign_share
from benchmarks.windows import Window


@dataclass
class Tally:
    """What went wrong, over all windows of a server: dirty windows count here too."""

    errors: int = 0
    lost: int = 0
    duplicates: int = 0
    first_problem: str = ""

    def note(self, problem: str) -> None:
        """Count one error; the first is kept for the reader."""
        self.errors += 1
        self.first_problem = self.first_problem or problem


Operation = Callable[[float], Awaitable[float]]


async def no_audit() -> None:
    """For a server whose operations verify all there is to verify."""


@dataclass
class Target:
    """A running server under load.

    `operation(due)` does one unit of work, verifies it and returns the latency in seconds counted
    from `due`, a time of `time.perf_counter`. It raises `Failed` when the work did not succeed.
    Rates and costs count `units_per_operation`, the latencies count operations.
    `database_pid` is a process of its own whose CPU time is the server's too.
    `audit()` runs after the last window and adds what it finds to the tally.
    """

    name: str
    pid: int
    operation: Operation
    tally: Tally = field(default_factory=Tally)
    audit: Callable[[], Awaitable[None]] = no_audit
    units_per_operation: int = 1
    database_pid: int | None = None

    def reading(self) -> Reading:
        """The clocks now, with all that serves this target."""
        return Reading.take(self.pid, *([self.database_pid] if self.database_pid else []))


class Failed(Exception):
    """One operation did not do what was asked; the tally already knows."""


async def _attempt(target: Target, due: float, latencies: list[float]) -> None:
    try:
        latencies.append(await target.operation(due))
    except Failed:
        return


def _window(target: Target, before: Reading, latencies: list[float]) -> Window:
    after = target.reading()
    server = after.server - before.server
    return Window(
        seconds=after.at - before.at,
        count=len(latencies) * target.units_per_operation,
        latencies=latencies,
        server_cpu_seconds=server,
        client_cpu_seconds=(after.ours - before.ours) - server,
        foreign_share=foreign_share(before, after),
    )


async def closed_loop(target: Target, concurrency: int, seconds: float) -> Window:
    """Keep `concurrency` operations going; the next starts when one ends."""
    latencies: list[float] = []
    before = target.reading()
    end = before.at + seconds

    async def one_after_another() -> None:
        while (now := time.perf_counter()) < end:
            await _attempt(target, now, latencies)

    await asyncio.gather(*(one_after_another() for _ in range(concurrency)))
    return _window(target, before, latencies)


async def open_loop(target: Target, rate_per_s: float, seconds: float) -> Window:
    """Start operations at fixed times, whether or not earlier ones have ended.

    Latency counts from the time an operation was due, so a server that stalls is not spared.
    """
    latencies: list[float] = []
    before = target.reading()
    async with asyncio.TaskGroup() as tasks:
        for index in range(max(1, int(rate_per_s * seconds))):
            due = before.at + index / rate_per_s
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            tasks.create_task(_attempt(target, due, latencies))
    return _window(target, before, latencies)


@asynccontextmanager
async def beside(work: list[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run endless work beside the body; if one piece fails, the body is cancelled and it raises."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(piece) for piece in work]
        yield
        for task in tasks:
            task.cancel()
