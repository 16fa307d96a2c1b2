"""A port for operators alone: /metrics, /healthz and /readyz of one process, whatever it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from api.health import Health, Readiness
from api.server import bound_socket
from api.telemetry.board import Board
from api.telemetry.exposition import CONTENT_TYPE

KEEP_ALIVE_SECONDS = 120
"""Longer than scrapers pause, so that they never meet a connection just closed."""

SHUTDOWN_SECONDS_MAX = 1


def operator_pages(board: Board, tell: Readiness) -> ASGIApp:
    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        is_metrics = scope["path"] == "/metrics"
        body = board.text() if is_metrics else b"there are /metrics, /healthz and /readyz\n"
        kind = CONTENT_TYPE if is_metrics else "text/plain; charset=utf-8"
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        status = 200 if is_metrics else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        is_head = scope["method"] == "HEAD"
        await send({"type": "http.response.body", "body": b"" if is_head else body})

    return Health(pages, tell)


@asynccontextmanager
async def operator_port(
    host: str, port: int, board: Board, tell: Readiness
) -> AsyncIterator[tuple[str, int]]:
    """Serves it; yields the address. Raises AddressInUse."""
    with bound_socket(host, port, remedy="--metrics-host and --metrics-port") as listener:
        # A port that is bound, but not listened on yet, could be bound again by another process.
        listener.listen()
        server = _Server(
            uvicorn.Config(
                operator_pages(board, tell),
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
            )
        )
        serving = asyncio.create_task(server.serve([listener]), name="operator port")
        try:
            yield listener.getsockname()[:2]
        finally:
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for whoever runs the process."""
        yield
