"""tls: hello with a client certificate on kept-alive connections, beside hello with a key."""

from __future__ import annotations

from pathlib import Path

from benchmarks.floor.driver import floor_target
from benchmarks.machine import conditions
from benchmarks.product.driver import TLS, Work, product
from benchmarks.report import Record
from benchmarks.scenarios.loads import Loads
from benchmarks.windows import Plan


async def run(data: Path, plan: Plan) -> list[Record]:
    """Every load of the plan on the floor and two servers, of which one is spoken to by TLS."""
    work = Work("sequence", activities=1)
    async with (
        product(data, plan) as plain,
        product(data, plan, name=TLS) as secured,
        floor_target(data, activities=1) as floor,
    ):
        loads = Loads("tls", [floor, plain.target(work), secured.target(work)], plan)
        await loads.run_all()
        rows = loads.records(worker=plan.worker, **conditions(data))
    cost = 1 - loads.best[TLS] / loads.best[plain.name]
    rows[-1]["note"] = f"TLS with a client certificate costs {cost:.1%} of the best rate"
    return rows
