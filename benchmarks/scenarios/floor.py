"""floor: what this machine can do with a store and a door and no engine, hello and chain5."""

from __future__ import annotations

from pathlib import Path

from benchmarks.floor.driver import floor_target
from benchmarks.machine import conditions
from benchmarks.report import Record
from benchmarks.scenarios.loads import Loads
from benchmarks.windows import Plan


async def run(data: Path, plan: Plan) -> list[Record]:
    rows: list[Record] = []
    for name, activities in (("hello", 1), ("chain5", 5)):
        folder = data / name
        folder.mkdir()
        async with floor_target(folder, activities) as floor:
            loads = Loads(name, [floor], plan)
            await loads.run_all()
            rows += loads.records(**conditions(data))
    return rows
