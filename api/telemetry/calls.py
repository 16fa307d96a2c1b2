"""Requests by RPC and status, and how long they took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.catalogue import CATALOGUE, POLL_SECONDS
from engine.handlers.handler import WORKFLOW_SERVICE
from engine.measures import SECONDS_BOUNDS, Distribution, Reading

OTHER = "other"

_WAITING = {
    WORKFLOW_SERVICE + "GetWorkflowExecutionHistory",
    *(name for name, row in CATALOGUE.items() if row.timeout_seconds == POLL_SECONDS),
}
"""They wait on purpose, or may."""


class MeasuredApplication:
    """Counts the requests that an application answers; `readings` tells of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._counts: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Distribution] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, send_noting)
        finally:
            # The door's routes say which RPC it was; whoever left before had no answer.
            method = scope.get("rpc_method", OTHER)
            self._counts[method, status] += 1
            if method not in _WAITING:
                if method not in self._seconds:
                    self._seconds[method] = Distribution(SECONDS_BOUNDS)
                self._seconds[method].observe(time.perf_counter() - began)

    def readings(self) -> Iterator[Reading]:
        for (method, status), count in tuple(self._counts.items()):
            labels = {"method": _short(method), "code": str(status)}
            yield Reading("calls", labels, count)
        for method, seconds in tuple(self._seconds.items()):
            yield Reading("call_duration_seconds", {"method": _short(method)}, seconds)


def _short(method: str) -> str:
    """Service and RPC, without the package."""
    service, _, name = method.rpartition(".")
    return f"{service.rpartition('.')[2]}/{name}" if service else name
