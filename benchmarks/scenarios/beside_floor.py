"""Workflows of activities in sequence on the product, beside the same on the floor."""

from __future__ import annotations

from pathlib import Path

from benchmarks.floor.driver import floor_target
from benchmarks.machine import conditions
from benchmarks.product.driver import Work, product
from benchmarks.report import Record
from benchmarks.scenarios.loads import Loads
from benchmarks.windows import Plan


async def run_sequence(
    name: str, data: Path, plan: Plan, activities: int, *, ack_only: bool = False
) -> list[Record]:
    """Every load of the plan on both servers in turns."""
    work = Work("sequence", activities, ack_only)
    async with (
        product(data, plan) as server,
        floor_target(data, activities, ack_only=ack_only) as floor,
    ):
        loads = Loads(name, [floor, server.target(work)], plan)
        await loads.run_all()
        return loads.records(worker=plan.worker, **conditions(data))
