"""/readyz says whether the process can do its work; /healthz that it need not be restarted.

Both say what is wrong: a full disk is no reason for a restart, but no health either.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from api.cells import Cell
from tenancy import SnapshotReader

Readiness = Callable[[], dict[str, Any]]


def readiness(cell: Cell, snapshot: SnapshotReader) -> Readiness:
    """What /readyz tells; it asks nothing, so that it costs nothing and cannot hang."""

    def tell() -> dict[str, Any]:
        health = cell.health
        staleness = snapshot.staleness_seconds
        is_known = math.isfinite(staleness)
        return {
            "ready": health.is_ready and is_known,
            "cell": health.problem or "ok",
            "control_plane": "ok" if is_known else "no snapshot yet",
            "control_plane_staleness_seconds": round(staleness, 1) if is_known else None,
        }

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
