"""The standard set of loads: closed loops at several concurrencies, then half the best rate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.load import Target, closed_loop, open_loop
from benchmarks.report import Record, beside_floor, record
from benchmarks.windows import Measure, Plan, Summary, in_turns

WARM_UP_CONCURRENCY = 8
WARM_UP_SECONDS = 0.5


class Loads:
    """Measures servers in turns under one load after the other and keeps the best rates."""

    def __init__(self, name: str, targets: Sequence[Target], plan: Plan) -> None:
        self.name = name
        self.targets = targets
        self.plan = plan
        self.window_seconds = plan.window_seconds_for(len(plan.concurrencies) + 1)
        self.best = dict.fromkeys((target.name for target in targets), 0.0)
        self._measured: list[tuple[str, Target, Summary, dict[str, Any]]] = []

    async def warm_up(self) -> None:
        for target in self.targets:
            await closed_loop(target, WARM_UP_CONCURRENCY, WARM_UP_SECONDS)

    async def closed(self, concurrency: int) -> list[Summary]:
        """One closed loop on every server."""
        measures = [partial(closed_loop, t, concurrency, self.window_seconds) for t in self.targets]
        summaries = await self._measure(f"closed {concurrency}", measures, concurrency=concurrency)
        for target, summary in zip(self.targets, summaries, strict=True):
            self.best[target.name] = max(self.best[target.name], summary.rate_per_s)
        return summaries

    async def half_load(self) -> None:
        """An open loop on every server at half of its own best rate."""
        measures = [
            partial(open_loop, target, self.best[target.name] / 2, self.window_seconds)
            for target in self.targets
            if self.best[target.name]
        ]
        if len(measures) == len(self.targets):
            await self._measure("half load", measures, concurrency="open loop")

    def records(self, **conditions: Any) -> list[Record]:
        """All that was measured, in the order of measuring, beside the floor's best rate."""
        rows = [
            record(
                self.name,
                target.name,
                load,
                summary,
                target.tally,
                window_seconds=self.window_seconds,
                **extra,
                **conditions,
            )
            for load, target, summary, extra in self._measured
        ]
        beside_floor(rows, self.best["floor"])
        return rows

    async def audit(self) -> None:
        """Verify on every server what the operations alone could not see."""
        for target in self.targets:
            await target.audit()

    async def _measure(self, load: str, measures: Sequence[Measure], **extra: Any) -> list[Summary]:
        summaries = await in_turns(measures, self.plan.rounds_max)
        for target, summary in zip(self.targets, summaries, strict=True):
            self._measured.append((load, target, summary, extra))
        return summaries

    async def run_all(self) -> None:
        """Warm up, every concurrency of the plan, then half load; audit what was done."""
        await self.warm_up()
        for concurrency in self.plan.concurrencies:
            await self.closed(concurrency)
        await self.half_load()
        await self.audit()
