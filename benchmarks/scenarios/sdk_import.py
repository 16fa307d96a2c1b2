"""import: what `import perdure` adds to the start of an interpreter, which is the floor here."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.load import Failed, Tally, Target, closed_loop
from benchmarks.machine import conditions
from benchmarks.report import Record, beside_floor, record
from benchmarks.windows import Plan, in_turns

MODULE = "perdure"
MILLISECONDS_MAX = 150
"""What an import may take, as the client library promises."""


class Starts:
    """Fresh interpreters, one after the other: some do nothing, some import a module."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._bare_seconds: list[float] = []

    def bare(self) -> Target:
        """Interpreters that do nothing; their starts are what an import is measured against."""
        return Target("floor", os.getpid(), self._bare)

    def importing(self) -> Target:
        """The latency is what the import adds to the median of the bare starts so far."""
        tally = Tally()
        return Target("product", os.getpid(), partial(self._import, tally), tally)

    async def _bare(self, due: float) -> float:
        await _run("")
        self._bare_seconds.append(time.perf_counter() - due)
        return self._bare_seconds[-1]

    async def _import(self, tally: Tally, due: float) -> float:
        status = await _run(f"import {self._module}")
        if status:
            tally.note(f"the import ended with status {status}")
            raise Failed
        return time.perf_counter() - due - median(self._bare_seconds)


async def run(data: Path, plan: Plan) -> list[Record]:
    starts = Starts(MODULE)
    targets = [starts.bare(), starts.importing()]
    for target in targets:
        # The first import of all may have to compile what it reads.
        await target.operation(time.perf_counter())
    measures = [partial(closed_loop, target, 1, plan.window_seconds) for target in targets]
    summaries = await in_turns(measures, plan.rounds_max)
    rows = [
        record(
            "import",
            target.name,
            "fresh process",
            summary,
            target.tally,
            window_seconds=plan.window_seconds,
            **conditions(data),
        )
        for target, summary in zip(targets, summaries, strict=True)
    ]
    beside_floor(rows, summaries[0].rate_per_s)
    rows[1]["note"] = (
        f"import {MODULE} takes {summaries[1].p50_ms:.0f} ms beyond a bare start; "
        f"it may take {MILLISECONDS_MAX}"
    )
    return rows


async def _run(code: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()
