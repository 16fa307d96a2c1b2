"""peers: hello and chain5 on one PostgreSQL server, by DBOS and by the product, in turns."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from api.local_postgres import LocalPostgres
from benchmarks.floor.driver import floor_target
from benchmarks.machine import conditions
from benchmarks.peers.dbos_driver import dbos
from benchmarks.product.driver import Work, product
from benchmarks.report import Record
from benchmarks.scenarios.loads import Loads
from benchmarks.windows import Plan


async def run(data: Path, plan: Plan) -> list[Record]:
    rows: list[Record] = []
    for name, activities in (("hello", 1), ("chain5", 5)):
        folder = data / name
        folder.mkdir(mode=0o711)
        rows += await _beside(name, activities, folder, plan)
    return rows


async def _beside(name: str, activities: int, folder: Path, plan: Plan) -> list[Record]:
    """Every load of the plan on the floor, DBOS and the product; the server is fresh."""
    with closing(LocalPostgres(folder / "postgres")) as server:
        server.start()
        async with (
            floor_target(folder, activities) as floor,
            dbos(folder.parents[1] / "peers", server) as peer,
            product(folder, plan, server) as ours,
        ):
            targets = [
                floor,
                peer.target(activities, server.process.pid),
                ours.target(Work("sequence", activities)),
            ]
            loads = Loads(name, targets, plan)
            await loads.run_all()
            rows = loads.records(worker=plan.worker, **conditions(folder))
    ratio = loads.best["product"] / loads.best["dbos"]
    rows[-1]["note"] = f"the best rate is {ratio:.2f} times that of DBOS"
    return rows
