"""The cloud: every part is made here, once, and given what it needs."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.types import ASGIApp, Receive, Scope, Send

import billing.migrations
from api.asgi import HttpDoor
from api.audit_trail import AuditTrail
from api.authentication import Authenticator
from api.cell_link import CellLink
from api.cells import CELL, Cell, open_cell
from api.cloud import CloudService, Services
from api.control import Desk, control_app
from api.dispatch import Dispatcher
from api.front import fallback
from api.health import Health, readiness
from api.installation import Installation
from api.open_calls import OpenCalls
from api.telemetry import Telemetry
from api.tls import Tls, TlsSettings
from api.upkeep import Upkeep
from billing.usage import AccountOf, Collector
from engine.persistence.protocols import Store
from tenancy import ControlPlane, Database, DatabaseUnavailable, Namespace, Passwords, migrate

logger = logging.getLogger(__name__)

MIGRATE_AGAIN_SECONDS = 1.0
COLLECT_SECONDS = 2.0
RECONCILE_SECONDS = 30.0
RECONCILE_AGAIN_SECONDS = 1.0
KEY_USE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """`drain` ends the calls that are open, so that a server can stop."""

    app: ASGIApp
    open_calls: OpenCalls
    cell: Cell
    tls: Tls

    @property
    def is_ready(self) -> bool:
        return self.cell.health.is_ready

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
) -> AsyncIterator[Cloud]:
    """The cloud with its cell in one process."""
    async with (
        open_cell(installation, store, telemetry) as cell,
        open_front(
            installation,
            cell,
            console_address=console_address,
            database_url=database_url,
            telemetry=telemetry,
            tls=tls,
        ) as cloud,
    ):
        yield cloud


@asynccontextmanager
async def open_front(
    installation: Installation,
    cell: Cell,
    *,
    console_address: str,
    database_url: str | None = None,
    telemetry: Telemetry | None = None,
    tls: TlsSettings | None = None,
) -> AsyncIterator[Cloud]:
    """All but the cell: door, console and control plane, started and stopped again.

    The control plane's database is a file of the installation unless there is an URL of one. While
    it is away, the door serves what was kept of it.
    """
    database_url = database_url or installation.database_url
    is_migrated = await _is_migrated(database_url)
    database = Database(database_url)
    passwords = Passwords(token_bytes=os.urandom)
    control = ControlPlane(
        database,
        now=now,
        token_bytes=os.urandom,
        pepper=installation.secrets.pepper,
        passwords=passwords,
        cell=CELL,
        snapshot_path=installation.snapshot_path,
    )
    parts = _Parts(control, database, cell, AuditTrail(control, database, now), asyncio.Event())
    upkeep = Upkeep()
    try:
        await control.snapshot.start()
        secured = Tls(
            tls or TlsSettings(), data=installation.data, snapshot=control.snapshot, now=now
        )
        cloud = _assemble(parts, console_address, telemetry, secured)
        if not is_migrated:
            upkeep.start("migrate", _migration(database_url))
        _start_upkeep(upkeep, parts)
        yield cloud
    finally:
        await upkeep.stop()
        await _write_the_last(parts)
        passwords.close()
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
    cell: Cell
    trail: AuditTrail
    provision: asyncio.Event


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
    dispatcher = Dispatcher(
        cell=parts.cell.call,
        control=CloudService(services).answer,
        namespaces=control.snapshot.resolve,
        audit=parts.trail.recording,
    )
    routes = control_app(Desk(control, database, authenticator, now, tls))

    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        await door(scope, receive, send)

    door = HttpDoor(
        dispatcher=dispatcher,
        authenticator=authenticator,
        open_calls=open_calls,
        fallback=fallback(api, routes),
        extra_openapi=routes.openapi,
        certificates=tls.certificates,
    )
    app: ASGIApp = Health(door, readiness(parts.cell, control.snapshot))
    served = app if telemetry is None else telemetry.application(app)
    return Cloud(served, open_calls, parts.cell, tls)


def _start_upkeep(upkeep: Upkeep, parts: _Parts) -> None:
    control = parts.control
    link = CellLink(CELL, parts.cell.call)
    collector = Collector(parts.database, link, _account_of(parts.database))

    async def follow_changes() -> float:
        await control.snapshot.follow()
        return 0.0

    async def provision() -> float:
        unfinished = await control.reconciler.reconcile(link)
        return RECONCILE_AGAIN_SECONDS if unfinished else RECONCILE_SECONDS

    async def collect_usage() -> float:
        await collector.run()
        return COLLECT_SECONDS

    async def write_key_use() -> float:
        await control.key_use.flush()
        return KEY_USE_SECONDS

    upkeep.start("follow_changes", follow_changes)
    upkeep.start("provision", provision, wake=parts.provision)
    upkeep.start("collect_usage", collect_usage)
    upkeep.start("write_key_use", write_key_use)
    upkeep.start("write_audit_trail", parts.trail.write, wake=parts.trail.noted)


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
