"""Opens the cloud, in one process or its control plane alone, and closes it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

import billing.migrations
from api.cells import Cells, open_cell
from api.composition.door import door_of
from api.composition.pieces import make
from api.composition.settings import CloudSettings
from api.composition.upkeep import start_upkeep, write_the_last
from api.installation import Installation
from api.open_calls import OpenCalls
from api.payments import Payments
from api.telemetry import Telemetry
from api.tls import Tls
from api.upkeep import Upkeep
from engine.persistence.protocols import Store
from tenancy import CellPlace, ControlPlane, Database, DatabaseUnavailable, migrate
from tenancy.clock import now
from tenancy.placement import CELL_DEFAULT, ONE_CELL

MIGRATE_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """`drain` ends the calls that are open, so that a server can stop."""

    app: ASGIApp
    open_calls: OpenCalls
    cells: Cells
    tls: Tls
    control: ControlPlane
    database: Database
    payments: Payments

    @property
    def is_ready(self) -> bool:
        return self.cells.health.is_ready

    def drain(self) -> None:
        self.open_calls.drain()


@asynccontextmanager
async def open_cloud(
    installation: Installation,
    store: Store,
    settings: CloudSettings,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Cloud]:
    """The cloud with its cell in one process."""
    async with (
        open_cell(installation, store, telemetry) as cell,
        open_control_plane(installation, Cells({CELL_DEFAULT: cell}), settings, telemetry) as cloud,
    ):
        yield cloud


@asynccontextmanager
async def open_control_plane(
    installation: Installation,
    cells: Cells,
    settings: CloudSettings,
    telemetry: Telemetry | None = None,
    *,
    places: Sequence[CellPlace] = ONE_CELL,
    is_listening: bool = True,
) -> AsyncIterator[Cloud]:
    """All but the cell: door, console and control plane, started and stopped again.

    While its database is away, the door serves what was kept of it. `places` says where the
    `cells` are.
    """
    url = settings.database_url or installation.database_url
    is_migrated = await _is_migrated(url)
    pieces = make(installation, cells, settings, Database(url), places)
    control = pieces.control
    upkeep = Upkeep()
    try:
        await control.snapshot.start()
        tls = Tls(
            settings.tls,
            data=installation.data,
            snapshot=control.snapshot,
            now=now,
            is_listening=is_listening,
        )
        app = door_of(pieces, settings.console_address, tls, telemetry)
        if not is_migrated:
            upkeep.start("migrate", _migration(url))
        start_upkeep(upkeep, pieces, telemetry)
        tls.start(upkeep)
        yield Cloud(app, tls.open_calls, cells, tls, control, pieces.database, pieces.payments)
    finally:
        await upkeep.stop()
        await write_the_last(pieces)
        await pieces.payments.aclose()
        pieces.passwords.close()
        await pieces.database.aclose()


async def _is_migrated(database_url: str) -> bool:
    """False if the database cannot be reached now."""
    try:
        await migrate(database_url)
        await billing.migrations.migrate(database_url)
    except DatabaseUnavailable:
        return False
    return True


def _migration(database_url: str) -> Callable[[], Awaitable[float]]:
    """What is left to do until the database was reached once."""

    async def migrate_once() -> float:
        if await _is_migrated(database_url):
            await asyncio.Event().wait()
        return MIGRATE_AGAIN_SECONDS

    return migrate_once
