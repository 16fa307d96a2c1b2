"""The cloud: every part is made here, once, and given what it needs."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.types import ASGIApp, Receive, Scope, Send

import billing.migrations
from api.asgi import HttpDoor
from api.audit_trail import AuditTrail
from api.authentication import Authenticator
from api.budgeting import Budgeting
from api.cell_link import CellLinks
from api.cells import Cells, open_cell
from api.cloud import CloudService, Services
from api.control import Desk, control_app
from api.dispatch import Dispatcher
from api.front import fallback
from api.health import Health, readiness
from api.installation import Installation
from api.mail_settings import MailSettings
from api.metrics import AccountMetrics, MetricsRoutes, Traffic
from api.open_calls import OpenCalls
from api.payments import Payments
from api.system import ControlSystem
from api.telemetry import Telemetry
from api.telemetry.sources import CollectedAges, ControlPlaneNumbers, FrontNumbers
from api.tls import Tls, TlsSettings
from api.upkeep import Upkeep
from billing.stripe import StripeSettings
from billing.usage import AccountOf, Collector
from engine.persistence.protocols import Store
from tenancy import (
    CellPlace,
    ControlPlane,
    Database,
    DatabaseUnavailable,
    Namespace,
    Passwords,
    migrate,
)
from tenancy.mail import MailFolder, Postman
from tenancy.outgoing import Outgoing
from tenancy.placement import CELL_DEFAULT, ONE_CELL

logger = logging.getLogger(__name__)

MIGRATE_AGAIN_SECONDS = 1.0
COLLECT_SECONDS = 2.0
RECONCILE_SECONDS = 30.0
RECONCILE_AGAIN_SECONDS = 1.0
KEY_USE_SECONDS = 60.0
DELIVER_SECONDS = 5.0


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
    *,
    console_address: str,
    database_url: str | None = None,
    telemetry: Telemetry | None = None,
    tls: TlsSettings | None = None,
    mail: MailSettings | None = None,
    stripe: StripeSettings | None = None,
    outgoing: Outgoing | None = None,
) -> AsyncIterator[Cloud]:
    """The cloud with its cell in one process."""
    async with (
        open_cell(installation, store, telemetry) as cell,
        open_control_plane(
            installation,
            Cells({CELL_DEFAULT: cell}),
            console_address=console_address,
            database_url=database_url,
            telemetry=telemetry,
            tls=tls,
            mail=mail,
            stripe=stripe,
            outgoing=outgoing,
        ) as cloud,
    ):
        yield cloud


@asynccontextmanager
async def open_control_plane(
    installation: Installation,
    cells: Cells,
    *,
    console_address: str,
    places: Sequence[CellPlace] = ONE_CELL,
    database_url: str | None = None,
    telemetry: Telemetry | None = None,
    tls: TlsSettings | None = None,
    mail: MailSettings | None = None,
    stripe: StripeSettings | None = None,
    outgoing: Outgoing | None = None,
    is_listening: bool = True,
) -> AsyncIterator[Cloud]:
    """All but the cell: door, console and control plane, started and stopped again.

    The control plane's database is a file of the installation unless there is an URL of one. While
    it is away, the door serves what was kept of it. `places` says where the `cells` are.
    """
    url = database_url or installation.database_url
    is_migrated = await _is_migrated(url)
    given = _Given(installation, cells, places, console_address, database_url)
    parts = _made(given, Database(url), stripe, outgoing or Outgoing())
    control, database = parts.control, parts.database
    upkeep = Upkeep()
    try:
        await control.snapshot.start()
        secured = Tls(
            tls or TlsSettings(),
            data=installation.data,
            snapshot=control.snapshot,
            now=now,
            is_listening=is_listening,
        )
        cloud = _assemble(parts, console_address, telemetry, secured)
        if not is_migrated:
            upkeep.start("migrate", _migration(url))
        ages = CollectedAges(cells)
        _start_upkeep(upkeep, parts, ages)
        if telemetry is not None:
            numbers = ControlPlaneNumbers(database, ages)
            telemetry.board.add(numbers.readings)
            upkeep.start("count_waiting", numbers.count)
        upkeep.start(
            "deliver_letters",
            _delivery(parts, installation, mail or MailSettings()),
            wake=database.posted,
        )
        yield cloud
    finally:
        await upkeep.stop()
        await _write_the_last(parts)
        await parts.payments.aclose()
        parts.passwords.close()
        await database.aclose()


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


@dataclass(frozen=True, slots=True)
class _Parts:
    """`provision` is set when a cell has something to do."""

    control: ControlPlane
    database: Database
    passwords: Passwords
    cells: Cells
    trail: AuditTrail
    provision: asyncio.Event
    system: ControlSystem
    payments: Payments
    budgeting: Budgeting


@dataclass(frozen=True, slots=True)
class _Given:
    """`postgres` is the URL of the database, None where that is a file of the installation."""

    installation: Installation
    cells: Cells
    places: Sequence[CellPlace]
    console_address: str
    postgres: str | None


def _made(
    given: _Given, database: Database, stripe: StripeSettings | None, outgoing: Outgoing
) -> _Parts:
    """Everything that is made before anything runs."""
    installation, cells, console_address = given.installation, given.cells, given.console_address
    passwords = Passwords(token_bytes=os.urandom)
    control = ControlPlane(
        database,
        now=now,
        token_bytes=os.urandom,
        pepper=installation.secrets.pepper,
        passwords=passwords,
        cells=given.places,
        snapshot_path=installation.snapshot_path,
        console_address=console_address,
        outgoing=outgoing,
    )
    payments = Payments(
        control,
        database,
        installation,
        stripe,
        now=now,
        token_bytes=os.urandom,
        console_address=console_address,
    )
    budgeting = Budgeting(
        control,
        database,
        outgoing,
        secret=installation.secrets.pepper,
        now=now,
        token_bytes=os.urandom,
        console_address=console_address,
    )
    system = ControlSystem(
        installation,
        given.postgres,
        control=control,
        provisioner=CellLinks(cells),
        closing=payments.closing,
        cell_ids=tuple(cells),
        now=now,
    )
    trail = AuditTrail(control, database, now)
    return _Parts(
        control, database, passwords, cells, trail, asyncio.Event(), system, payments, budgeting
    )


def _assemble(parts: _Parts, console_address: str, telemetry: Telemetry | None, tls: Tls) -> Cloud:
    control, database, open_calls = parts.control, parts.database, tls.open_calls
    authenticator = Authenticator(
        keys=control.snapshot.authenticate,
        sessions=control.sessions.resume,
        key_used=lambda key_id: control.key_use.note_used(key_id, now()),
        certificates=tls.certificates,
    )
    control.snapshot.on_revoked(open_calls.revoke)
    services = Services(control, database, now, parts.provision.set, console_address)
    traffic = Traffic()
    dispatcher = Dispatcher(
        cells=traffic.through(parts.cells.of),
        control=CloudService(services).answer,
        namespaces=control.snapshot.resolve,
        audit=parts.trail.recording,
        restrictions=control.snapshot.restriction,
    )
    routes = control_app(
        Desk(control, database, authenticator, now, tls, parts.payments, parts.budgeting)
    )
    account = AccountMetrics(
        snapshot=control.snapshot.current,
        cells=parts.cells.of,
        traffic=traffic,
        audit=parts.trail.recording,
        monotonic=time.monotonic,
    )
    metrics = MetricsRoutes(account, authenticator)

    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        await door(scope, receive, send)

    door = HttpDoor(
        dispatcher=dispatcher,
        authenticator=authenticator,
        open_calls=open_calls,
        fallback=parts.payments.before(fallback(api, metrics.before(routes)), routes),
        extra_openapi=lambda: metrics.openapi(routes.openapi()),
        certificates=tls.certificates,
    )
    tell = readiness(parts.cells, control.snapshot)
    app: ASGIApp = Health(door, tell)
    served = app
    if telemetry is not None:
        telemetry.readiness = tell
        telemetry.board.add(FrontNumbers(open_calls, control.snapshot, parts.trail).readings)
        served = telemetry.application(app)
    return Cloud(served, open_calls, parts.cells, tls, control, database, parts.payments)


def _start_upkeep(upkeep: Upkeep, parts: _Parts, ages: CollectedAges) -> None:
    control = parts.control
    links = CellLinks(parts.cells)

    async def follow_changes() -> float:
        await control.snapshot.follow()
        return 0.0

    async def provision() -> float:
        unfinished = await parts.system.provision()
        return RECONCILE_AGAIN_SECONDS if unfinished else RECONCILE_SECONDS

    async def write_key_use() -> float:
        await control.key_use.flush()
        return KEY_USE_SECONDS

    upkeep.start("follow_changes", follow_changes)
    upkeep.start("system_cell", parts.system.serve)
    upkeep.start("provision", provision, wake=parts.provision)
    for link in links:
        collector = Collector(parts.database, link, _account_of(parts.database))
        upkeep.start(f"collect_usage {link.cell_id}", _collecting(collector, ages, link.cell_id))
    upkeep.start("write_key_use", write_key_use)
    parts.payments.start(upkeep)
    parts.budgeting.start(upkeep)
    upkeep.start("write_audit_trail", parts.trail.write, wake=parts.trail.noted)


def _collecting(
    collector: Collector, ages: CollectedAges, cell_id: str
) -> Callable[[], Awaitable[float]]:
    async def collect_usage() -> float:
        await collector.run(now())
        ages.collected(cell_id)
        return COLLECT_SECONDS

    return collect_usage


def _delivery(
    parts: _Parts, installation: Installation, mail: MailSettings
) -> Callable[[], Awaitable[float]]:
    postman = Postman(
        database=parts.database,
        outbox=parts.control.outbox,
        transport=mail.server or MailFolder(installation.mail_path),
        sender=mail.sender,
        now=now,
    )

    async def deliver_letters() -> float:
        await postman.deliver()
        return DELIVER_SECONDS

    return deliver_letters


def _account_of(database: Database) -> AccountOf:
    async def account_of(namespace_id: str) -> str | None:
        async with database.reading() as session:
            namespace = await session.get(Namespace, namespace_id)
            return None if namespace is None else namespace.account_id

    return account_of


async def _write_the_last(parts: _Parts) -> None:
    """What is still in memory. The database may be why the process stops, so failing is no end."""
    try:
        await parts.trail.write()
        await parts.control.key_use.flush()
    except Exception as error:
        logger.exception("last_write_failed", extra={"error": type(error).__name__})


def now() -> datetime:
    return datetime.now(UTC)
