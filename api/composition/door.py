"""The way of a request through the control plane's process: door, console and documents."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Receive, Scope, Send

from api.asgi import HttpDoor
from api.authentication import Authenticator
from api.cloud import CloudService, Services
from api.composition.pieces import Pieces
from api.control import Desk, control_app
from api.dispatch import Dispatcher
from api.front import fallback
from api.health import Health, readiness
from api.metrics import AccountMetrics, MetricsRoutes, Traffic
from api.telemetry import Telemetry
from api.telemetry.sources import FrontNumbers
from api.tls import Tls
from tenancy.clock import now


def door_of(pieces: Pieces, console_address: str, tls: Tls, telemetry: Telemetry | None) -> ASGIApp:
    """What a server is given."""
    control, database, open_calls = pieces.control, pieces.database, tls.open_calls
    authenticator = Authenticator(
        keys=control.snapshot.authenticate,
        sessions=control.sessions.resume,
        key_used=lambda key_id: control.key_use.note_used(key_id, now()),
        certificates=tls.certificates,
    )
    control.snapshot.on_revoked(open_calls.revoke)
    services = Services(control, database, now, pieces.provision.set, console_address)
    traffic = Traffic()
    dispatcher = Dispatcher(
        cells=traffic.through(pieces.cells.of),
        control=CloudService(services).answer,
        namespaces=control.snapshot.resolve,
        audit=pieces.trail.recording,
        restrictions=control.snapshot.restriction,
    )
    routes = control_app(
        Desk(
            control,
            database,
            authenticator,
            now,
            tls,
            pieces.payments,
            pieces.budgeting,
            console_address=console_address,
        )
    )
    account = AccountMetrics(
        snapshot=control.snapshot.current,
        cells=pieces.cells.of,
        traffic=traffic,
        audit=pieces.trail.recording,
        monotonic=time.monotonic,
    )
    metrics = MetricsRoutes(account, authenticator)

    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        await door(scope, receive, send)

    door = HttpDoor(
        dispatcher=dispatcher,
        authenticator=authenticator,
        open_calls=open_calls,
        fallback=pieces.payments.before(fallback(api, metrics.before(routes)), routes),
        extra_openapi=lambda: metrics.openapi(routes.openapi()),
        certificates=tls.certificates,
        hop=tls.hop,
    )
    tell = readiness(pieces.cells, control.snapshot)
    app: ASGIApp = Health(door, tell)
    if telemetry is None:
        return app
    telemetry.readiness = tell
    telemetry.board.add(FrontNumbers(open_calls, control.snapshot, pieces.trail).readings)
    return telemetry.application(app)
