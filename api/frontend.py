"""The door as a process of its own: it owns no database and answers from what it was told.

What it cannot answer alone it passes on to the control plane: its RPCs and routes, the console and
the documents, and every call that a session in a cookie speaks for.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from html import escape
from typing import NoReturn

from google.protobuf.message import Message
from starlette.types import ASGIApp, Receive, Scope, Send

from api.act_journal import ActFile, JournaledTrail
from api.asgi import HttpDoor
from api.authentication import Authenticator
from api.catalogue import Plane
from api.dispatch import Dispatcher, Method
from api.health import Health, readiness
from api.installation import Installation
from api.metrics import AccountMetrics, MetricsRoutes, Traffic
from api.open_calls import OpenCalls
from api.telemetry import Telemetry
from api.telemetry.sources import FrontNumbers
from api.tls import Tls, TlsSettings
from api.tls.peer import Peer
from api.transports.errors import ControlPlaneAway
from api.upkeep import Upkeep
from api.wire.cells import CellClients, open_cell_clients
from api.wire.client import Disconnected, WireClient
from api.wire.control import ControlClient, forwarding
from api.wire.lines import CONTROL_PLANE, Lines
from api.wire.snapshot_copy import borrow
from tenancy import (
    CellPlace,
    Principal,
    SnapshotFile,
    SnapshotFollower,
    Unauthenticated,
    UnauthenticatedReason,
    Visit,
)
from tenancy.clock import now
from tenancy.key_text import KeyDigests

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
BORROW_SECONDS = 2.0
KEY_USE_SECONDS = 30.0
DELIVER_LAST_SECONDS_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Frontend:
    """`drain` ends the calls that are open, so that a server can stop."""

    app: ASGIApp
    open_calls: OpenCalls
    cells: CellClients
    snapshot: SnapshotFollower
    tls: Tls

    @property
    def is_ready(self) -> bool:
        return self.cells.health.is_ready and self.snapshot.is_usable

    def drain(self) -> None:
        self.open_calls.drain()


@asynccontextmanager
async def open_frontend(
    installation: Installation,
    lines: Lines,
    *,
    control_plane: str,
    places: Sequence[CellPlace] = (),
    telemetry: Telemetry | None = None,
    tls: TlsSettings | None = None,
) -> AsyncIterator[Frontend]:
    """Started and stopped again. It begins with what it was told before it was stopped last.

    `control_plane` is the address of that; those of the cells are in the snapshot. A frontend that
    has none asks the cells at `places` as well, who keep a copy of it.
    """
    pepper = installation.secrets.pepper
    wire = WireClient(CONTROL_PLANE, lines.to(CONTROL_PLANE, control_plane))
    client = ControlClient(wire)
    snapshot = SnapshotFollower(
        ask=client.news,
        digests=KeyDigests(pepper),
        pepper=pepper,
        now=now,
        storage=SnapshotFile(installation.frontend_snapshot_path, pepper=pepper, now=now),
    )
    file = await asyncio.to_thread(ActFile, installation.journal_path)
    trail = JournaledTrail(file, client.take_acts, now)
    upkeep = Upkeep()
    wire.start()
    try:
        await snapshot.start()
        if snapshot.snapshot is not None:
            places = snapshot.snapshot.cells
        async with open_cell_clients(lines, places, telemetry) as cells:
            secured = Tls(tls or TlsSettings(), data=installation.data, snapshot=snapshot, now=now)
            parts = _Parts(snapshot, client, trail, cells, {})
            frontend = _assemble(parts, secured, telemetry)
            _start_upkeep(upkeep, parts)
            secured.start(upkeep)
            try:
                yield frontend
            finally:
                await upkeep.stop()
                await _deliver_the_last(trail)
    finally:
        await trail.close()
        await wire.stop()


async def _deliver_the_last(trail: JournaledTrail) -> None:
    """The disk may go with the machine. What cannot be delivered now is kept for the next start."""
    try:
        async with asyncio.timeout(DELIVER_LAST_SECONDS_MAX):
            await trail.write()
            await trail.deliver()
    except (Disconnected, TimeoutError, sqlite3.Error) as error:
        logger.warning("last_acts_not_delivered", extra={"error": type(error).__name__})


@dataclass(frozen=True, slots=True)
class _Parts:
    """`keys_used` are those of which the control plane was not told yet."""

    snapshot: SnapshotFollower
    client: ControlClient
    trail: JournaledTrail
    cells: CellClients
    keys_used: dict[str, datetime]


def _assemble(parts: _Parts, tls: Tls, telemetry: Telemetry | None) -> Frontend:
    snapshot, open_calls, keys_used = parts.snapshot, tls.open_calls, parts.keys_used
    authenticator = Authenticator(
        keys=snapshot.authenticate,
        sessions=_no_session,
        key_used=lambda key_id: keys_used.update({key_id: now()}),
        certificates=tls.certificates,
    )
    snapshot.on_revoked(open_calls.revoke)
    traffic = Traffic()
    dispatcher = Dispatcher(
        cells=traffic.through(parts.cells.of),
        control=_nobody,
        namespaces=snapshot.resolve,
        audit=parts.trail.recording,
        restrictions=snapshot.restriction,
    )

    account = AccountMetrics(
        snapshot=snapshot.current,
        cells=parts.cells.of,
        traffic=traffic,
        audit=parts.trail.recording,
        monotonic=time.monotonic,
    )
    metrics = MetricsRoutes(account, authenticator)

    def is_elsewhere(method: Method, headers: Mapping[bytes, bytes], peer: Peer | None) -> bool:
        return method.row.plane is Plane.CONTROL or authenticator.is_by_session(headers, peer)

    door = HttpDoor(
        dispatcher=dispatcher,
        authenticator=authenticator,
        open_calls=open_calls,
        fallback=metrics.before(telling_browsers(forwarding(parts.client, snapshot.reached))),
        certificates=tls.certificates,
        hop=tls.hop,
        is_elsewhere=is_elsewhere,
    )
    tell = readiness(parts.cells, snapshot)
    if telemetry is not None:
        telemetry.readiness = tell
        telemetry.board.add(FrontNumbers(open_calls, snapshot, parts.trail).readings)
    app: ASGIApp = Health(door, tell)
    served = app if telemetry is None else telemetry.application(app)
    return Frontend(served, open_calls, parts.cells, snapshot, tls)


def _start_upkeep(upkeep: Upkeep, parts: _Parts) -> None:
    snapshot, trail = parts.snapshot, parts.trail

    async def follow_cells() -> None:
        changed = snapshot.next_change
        if snapshot.snapshot is not None:
            await parts.cells.adopt(snapshot.snapshot.cells)
        await changed.wait()

    async def deliver_acts() -> float:
        try:
            return await trail.deliver()
        except Disconnected:
            return AGAIN_SECONDS

    async def tell_key_use() -> float:
        told = dict(parts.keys_used)
        try:
            if told:
                await parts.client.note_key_use(told)
        except Disconnected:
            return AGAIN_SECONDS
        for key_id, at in told.items():
            if parts.keys_used[key_id] == at:
                del parts.keys_used[key_id]
        return KEY_USE_SECONDS

    upkeep.every(0.0, "follow_changes", snapshot.follow)
    upkeep.every(0.0, "follow_cells", follow_cells)
    upkeep.every(BORROW_SECONDS, "borrow_snapshot", partial(borrow, snapshot, parts.cells))
    upkeep.start("note_acts", trail.write, wake=trail.noted)
    upkeep.start("deliver_acts", deliver_acts, wake=trail.written)
    upkeep.start("tell_key_use", tell_key_use)


def telling_browsers(app: ASGIApp) -> ASGIApp:
    """A person who looks at the console while the control plane is away is told so in a page."""

    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ControlPlaneAway as away:
            accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
            if b"text/html" not in accepted:
                raise
            page = (_PAGE % (_STYLE, escape(str(away)))).encode()
            headers = [*_PAGE_HEADERS, (b"content-length", b"%d" % len(page))]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": page})

    return tell


async def _no_session(_token: str) -> Visit:
    """Calls of sessions do not come here."""
    raise Unauthenticated(UnauthenticatedReason.NO_SESSION)


async def _nobody(_method: str, _request: Message, _principal: Principal) -> NoReturn:
    raise ControlPlaneAway


# The files of the console are with the control plane, so the page brings what it looks like.
_STYLE = "body{max-width:34rem;margin:20vh auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}"
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest())
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width='
    'device-width"><meta name="color-scheme" content="light dark"><title>Away · Perdure</title>'
    "<style>%s</style><h1>The console is away for the moment</h1><p>%s</p>"
)
_PAGE_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'sha256-%b'; frame-ancestors 'none'" % _STYLE_DIGEST,
    ),
    (b"cache-control", b"no-store"),
    (b"retry-after", b"1"),
]
