"""The console, the control plane and its database, for frontends behind a wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from api.cell_store import check_database, postgres_of
from api.cells import Cells
from api.composition import cloud_settings, open_control_plane
from api.config import Config, Verb
from api.days_ahead import set_clock
from api.health import control_plane_readiness
from api.installation import Installation, Part, installation
from api.office import ControlOffice
from api.processes.behind import serve_wire
from api.processes.loop import run
from api.telemetry import observed
from api.upkeep import Upkeep
from api.wire.cells import open_cell_clients
from api.wire.control import served
from api.wire.lines import CONTROL_PLANE, Lines
from api.wire.snapshot_copy import lend
from tenancy import SnapshotReader


def main(config: Config) -> None:
    with (
        installation(config.data, Part.CONTROL_PLANE) as held,
        postgres_of(held, config.store, config.running_postgres) as postgres,
    ):
        set_clock(held, config.days_ahead)
        run(_serve(config, held, postgres))


async def _serve(config: Config, held: Installation, postgres: str | None) -> None:
    if postgres is not None:
        await check_database(held, postgres)
    lines, places = Lines(held, CONTROL_PLANE), config.parts.places
    address = f"http://{config.host}:{config.port}"
    async with (
        observed(config.telemetry, Verb.CONTROL_PLANE) as telemetry,
        open_cell_clients(lines, places, telemetry) as cells,
        open_control_plane(
            held,
            cells,
            cloud_settings(config, address, postgres),
            telemetry,
            places=places,
            is_listening=False,
        ) as cloud,
    ):
        if telemetry is not None:
            telemetry.readiness = control_plane_readiness(cloud.control.snapshot)
        office = ControlOffice(cloud.control, cloud.database, pepper=held.secrets.pepper)
        async with _lending(cloud.control.snapshot, office, cells):
            await serve_wire(lines, config.parts.listen, served(office, cloud.app), cloud.drain)


@asynccontextmanager
async def _lending(
    snapshot: SnapshotReader, office: ControlOffice, cells: Cells
) -> AsyncIterator[None]:
    """Each cell has a copy of the snapshot as it is."""
    changed, upkeep = asyncio.Event(), Upkeep()
    snapshot.on_changed(lambda _before, _after: changed.set())
    upkeep.start("lend_snapshot", partial(lend, office.news, cells), wake=changed)
    try:
        yield
    finally:
        await upkeep.stop()
