"""wide: 2,000 activities at once in one workflow; the unit is the activity, as in chain5 beside."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.floor.driver import floor_target
from benchmarks.load import closed_loop
from benchmarks.machine import conditions
from benchmarks.product.driver import Work, product
from benchmarks.report import Record, beside_floor, record
from benchmarks.windows import Plan, Summary, in_turns

ACTIVITIES_AT_ONCE = 2_000
CHAIN_ACTIVITIES = 5
CHAIN_CONCURRENCY = 64

WIDE = Work("wide", ACTIVITIES_AT_ONCE, counts_activities=True)
CHAIN = Work("sequence", CHAIN_ACTIVITIES, counts_activities=True)


async def run(data: Path, plan: Plan) -> list[Record]:
    """One wide workflow after the other; chain5 on both servers in the same turns."""
    async with (
        product(data, plan) as server,
        floor_target(data, CHAIN_ACTIVITIES) as bare,
    ):
        floor = replace(bare, units_per_operation=CHAIN_ACTIVITIES)
        loads = [
            ("chain5", CHAIN_CONCURRENCY, floor),
            ("chain5", CHAIN_CONCURRENCY, server.target(CHAIN)),
            ("wide", 1, server.target(WIDE)),
        ]
        seconds = plan.window_seconds_for(load_count=2)
        measures = [
            partial(closed_loop, target, concurrency, seconds) for _, concurrency, target in loads
        ]
        summaries = await in_turns(measures, plan.rounds_max)
        for _, _, target in loads:
            await target.audit()
    rows = [
        record(
            name,
            target.name,
            f"closed {concurrency}",
            summary,
            target.tally,
            unit="activity",
            concurrency=concurrency,
            window_seconds=seconds,
            worker=plan.worker,
            **conditions(data),
        )
        for (name, concurrency, target), summary in zip(loads, summaries, strict=True)
    ]
    beside_floor(rows, summaries[0].rate_per_s)
    rows[2]["note"] = note(wide=summaries[2], chain=summaries[1])
    return rows


def note(wide: Summary, chain: Summary) -> str:
    """What an activity costs here in the server's CPU, against one of chain5."""
    factor = wide.server_cpu_s_per_1000 / chain.server_cpu_s_per_1000
    return f"rates and CPU are per activity; one costs {factor:.2f} times one of chain5"
