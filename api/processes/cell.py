"""A cell in a process of its own, for the processes that connect to it."""

from __future__ import annotations

from api.cell_store import cell_store, postgres_of
from api.cells import open_cell
from api.config import Config, Verb
from api.days_ahead import set_clock
from api.health import cell_readiness
from api.installation import Installation, installation, part_of
from api.processes.behind import serve_wire
from api.processes.loop import run
from api.telemetry import observed
from api.wire.cell import served
from api.wire.lines import Lines
from api.wire.snapshot_copy import SnapshotCopy
from engine.persistence.protocols import Store


def main(config: Config) -> None:
    cell_id = config.parts.cell_id
    with (
        installation(config.data, part_of(cell_id)) as held,
        postgres_of(held, config.store, config.running_postgres) as postgres,
    ):
        set_clock(held, config.days_ahead)
        run(_serve(config, held, cell_store(held, postgres, cell_id)))


async def _serve(config: Config, held: Installation, store: Store) -> None:
    cell_id, address = config.parts.cell_id, config.parts.listen
    async with (
        observed(config.telemetry, Verb.CELL) as telemetry,
        open_cell(held, store, telemetry) as cell,
    ):
        if telemetry is not None:
            telemetry.readiness = cell_readiness(cell)
        await serve_wire(
            Lines(held, cell_id), address, served(cell, SnapshotCopy(held.snapshot_copy_path))
        )
