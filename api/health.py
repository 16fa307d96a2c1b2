"""/readyz says whether the process can do its work; /healthz that it need not be restarted.

Both say what is wrong: a full disk is no reason for a restart, but no health either.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from tenancy import SnapshotView
from tenancy.snapshot import SNAPSHOT_AGE_SECONDS_MAX

if TYPE_CHECKING:
    from api.cells import Cell, Cells

DATABASE_READ_SECONDS_MAX = 10.0
"""So long ago the last reading may be of a database that is there."""

Readiness = Callable[[], dict[str, Any]]


def readiness(cells: Cells, snapshot: SnapshotView) -> Readiness:
    """What /readyz tells; it asks nothing, so that it costs nothing and cannot hang."""

    def tell() -> dict[str, Any]:
        health = cells.health
        staleness = snapshot.staleness_seconds
        is_known = math.isfinite(staleness)
        return {
            "ready": health.is_ready and snapshot.is_usable,
            "cell": health.problem or "ok",
            "control_plane": snapshot.problem or "ok",
            "control_plane_staleness_seconds": round(staleness, 1) if is_known else None,
            "control_plane_staleness_seconds_max": SNAPSHOT_AGE_SECONDS_MAX,
        }

    return tell


def cell_readiness(cell: Cell) -> Readiness:
    """Of a process that is a cell alone."""

    def tell() -> dict[str, Any]:
        health = cell.health
        return {"ready": health.is_ready, "cell": health.problem or "ok"}

    return tell


def control_plane_readiness(snapshot: SnapshotView) -> Readiness:
    """Of a process that is the control plane alone: it reads its database each second."""

    def tell() -> dict[str, Any]:
        age_seconds = snapshot.staleness_seconds
        is_read = age_seconds <= DATABASE_READ_SECONDS_MAX
        since = f"for {age_seconds:.0f} seconds" if math.isfinite(age_seconds) else "yet"
        database = "ok" if is_read else f"could not be read {since}"
        return {"ready": is_read, "database": database}

    return tell


class Health:
    """Answers the two paths itself and passes all others on."""

    def __init__(self, app: ASGIApp, tell: Readiness) -> None:
        self._app = app
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if path == "/healthz":
            told = self._tell()
            status = "ok" if told["ready"] else "not ready"
            await _answer(scope, send, 200, {"status": status, **told})
        elif path == "/readyz":
            told = self._tell()
            await _answer(scope, send, 200 if told["ready"] else 503, told)
        else:
            await self._app(scope, receive, send)


async def _answer(scope: Scope, send: Send, status: int, told: dict[str, Any]) -> None:
    body = json.dumps(told).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
