"""What the control plane's process does beside its requests."""

from __future__ import annotations

import logging
from functools import partial

from api.composition.pieces import Pieces
from api.telemetry import Telemetry
from api.telemetry.sources import CollectedAges, ControlPlaneNumbers
from api.upkeep import Upkeep
from billing.usage import AccountOf, Collector
from tenancy import Database, Namespace
from tenancy.clock import now

logger = logging.getLogger(__name__)

COLLECT_SECONDS = 2.0
RECONCILE_SECONDS = 30.0
RECONCILE_AGAIN_SECONDS = 1.0
KEY_USE_SECONDS = 60.0
DELIVER_SECONDS = 5.0


def start_upkeep(upkeep: Upkeep, pieces: Pieces, telemetry: Telemetry | None) -> None:
    control, database = pieces.control, pieces.database
    ages = CollectedAges(pieces.cells)

    async def provision() -> float:
        unfinished = await pieces.system.provision()
        return RECONCILE_AGAIN_SECONDS if unfinished else RECONCILE_SECONDS

    upkeep.every(0.0, "follow_changes", control.snapshot.follow)
    upkeep.start("system_cell", pieces.system.serve)
    upkeep.start("provision", provision, wake=pieces.provision)
    for link in pieces.links:
        collector = Collector(database, link, _account_of(database))
        collect = partial(_collect, collector, ages, link.cell_id)
        upkeep.every(COLLECT_SECONDS, f"collect_usage {link.cell_id}", collect)
    upkeep.every(KEY_USE_SECONDS, "write_key_use", control.key_use.flush)
    upkeep.start("tell_of_expiry", control.expiry_letters.write)
    pieces.payments.start(upkeep)
    pieces.budgeting.start(upkeep)
    upkeep.start("write_audit_trail", pieces.trail.write, wake=pieces.trail.noted)
    deliver = pieces.postman.deliver
    upkeep.every(DELIVER_SECONDS, "deliver_letters", deliver, wake=database.posted)
    if telemetry is not None:
        numbers = ControlPlaneNumbers(database, ages)
        telemetry.board.add(numbers.readings)
        upkeep.start("count_waiting", numbers.count)


async def write_the_last(pieces: Pieces) -> None:
    """What is still in memory. The database may be why the process stops, so failing is no end."""
    try:
        await pieces.trail.write()
        await pieces.control.key_use.flush()
    except Exception as error:
        logger.exception("last_write_failed", extra={"error": type(error).__name__})


async def _collect(collector: Collector, ages: CollectedAges, cell_id: str) -> None:
    await collector.run(now())
    ages.collected(cell_id)


def _account_of(database: Database) -> AccountOf:
    async def account_of(namespace_id: str) -> str | None:
        async with database.reading() as session:
            namespace = await session.get(Namespace, namespace_id)
            return None if namespace is None else namespace.account_id

    return account_of
