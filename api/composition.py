"""The cloud in one process: every part is made here, once, and given what it needs."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.types import ASGIApp, Receive, Scope, Send

import billing.migrations
from api.asgi import HttpDoor
from api.audit_trail import AuditTrail
from api.authentication import Authenticator
from api.cell_link import CellLink
from api.cloud import CloudService, Services
from api.complete_tasks import offering_complete_tasks
from api.control import Desk, control_app
from api.dispatch import Dispatcher
from api.front import fallback
from api.health import Health, readiness
from api.installation import Installation
from api.open_calls import OpenCalls
from api.telemetry import Telemetry
from api.upkeep import Upkeep
from billing.usage import AccountOf, Collector
from engine.env.system import SystemEnv
from engine.errors import Unavailable
from engine.node import Node, NodeConfig
from engine.persistence.protocols import Store
from tenancy import ControlPlane, Database, Namespace, Passwords, migrate

logger = logging.getLogger(__name__)

CELL = "cell-1"
NODE = "node-1"
"""The name outlives restarts, so that a node takes its own shards back at once."""

SHARD_COUNT = 16

COLLECT_SECONDS = 2.0
RECONCILE_SECONDS = 30.0
RECONCILE_AGAIN_SECONDS = 1.0
KEY_USE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Cloud:
    """`drain` ends the calls that are open, so that a server can stop."""

    app: ASGIApp
    open_calls: OpenCalls
    node: Node

    @property
    def is_ready(self) -> bool:
        return self.node.is_ready

    def drain(self) -> None:
        self.open_calls.drain()


class LonePeer:
    """The way between the nodes of a cell that has one."""

    def __init__(self) -> None:
        self.node: Node | None = None

    async def call(self, node: str, method: str, payload: bytes) -> bytes:
        if self.node is None or node != NODE:
            raise Unavailable(node=node)
        return await self.node.serve(method, payload)


@asynccontextmanager
async def open_cloud(
    installation: Installation,
    store: Store,
    *,
    console_address: str,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Cloud]:
    """Everything started, and stopped again in the opposite order."""
    await migrate(installation.database_url)
    await billing.migrations.migrate(installation.database_url)
    database = Database(installation.database_url)
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
    node = _node(installation, store if telemetry is None else telemetry.store(store))
    parts = _Parts(control, database, node, AuditTrail(control, database, now), asyncio.Event())
    upkeep = Upkeep()
    try:
        await control.snapshot.start()
        await node.start()
        cloud = _assemble(parts, console_address, telemetry)
        _start_upkeep(upkeep, parts)
        yield cloud
    finally:
        await upkeep.stop()
        await node.stop()
        await _write_the_last(parts)
        passwords.close()
        await database.aclose()


@dataclass(frozen=True, slots=True)
class _Parts:
    """`provision` is set when a cell has something to do."""

    control: ControlPlane
    database: Database
    node: Node
    trail: AuditTrail
    provision: asyncio.Event


def _node(installation: Installation, store: Store) -> Node:
    secrets = installation.secrets
    config = NodeConfig(SHARD_COUNT, secrets.sealing_keys, secrets.sealing_key_active)
    peer = LonePeer()
    peer.node = Node(NODE, SystemEnv(), store, peer, config)
    return peer.node


def _assemble(parts: _Parts, console_address: str, telemetry: Telemetry | None) -> Cloud:
    control, database = parts.control, parts.database
    cell = parts.node.call if telemetry is None else telemetry.cell(parts.node.call)
    authenticator = Authenticator(
        keys=control.snapshot.authenticate,
        sessions=control.sessions.resume,
        key_used=lambda key_id: control.key_use.note_used(key_id, now()),
    )
    open_calls = OpenCalls()
    control.snapshot.on_revoked(open_calls.revoke)
    services = Services(control, database, now, parts.provision.set, console_address)
    dispatcher = Dispatcher(
        cell=offering_complete_tasks(cell),
        control=CloudService(services).answer,
        namespaces=control.snapshot.resolve,
        audit=parts.trail.record,
    )
    routes = control_app(Desk(control, database, authenticator, now))

    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        await door(scope, receive, send)

    door = HttpDoor(
        dispatcher=dispatcher,
        authenticator=authenticator,
        open_calls=open_calls,
        fallback=fallback(api, routes),
        extra_openapi=routes.openapi,
    )
    app: ASGIApp = Health(door, readiness(parts.node, control.snapshot))
    return Cloud(app if telemetry is None else telemetry.application(app), open_calls, parts.node)


def _start_upkeep(upkeep: Upkeep, parts: _Parts) -> None:
    control = parts.control
    link = CellLink(CELL, parts.node.call)
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
