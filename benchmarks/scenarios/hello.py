"""hello: one activity; the client waits for the result."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import Record
from benchmarks.scenarios.beside_floor import run_sequence
from benchmarks.windows import Plan


async def run(data: Path, plan: Plan) -> list[Record]:
    return await run_sequence("hello", data, plan, activities=1)
