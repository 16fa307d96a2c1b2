"""The HTTP server: one socket, signals, and a shutdown that takes leave of its clients."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from api.catalogue import POLL_SECONDS

KEEP_ALIVE_SECONDS = int(POLL_SECONDS) * 3
"""Well above the longest poll, so that a client's pool never meets a connection just closed."""

SHUTDOWN_SECONDS_MAX = 10
CONNECTIONS_WAITING_MAX = 2_048


class AddressInUse(Exception):
    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on {host}:{port} ({reason}): name another with --host and --port"
        )
        self.host = host
        self.port = port


def bound_socket(host: str, port: int) -> socket.socket:
    """Bound before anything is opened, so that a taken port is told at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise AddressInUse(host, port, error.strerror or str(error)) from error
    return listener


class Server(uvicorn.Server):
    """`drain` ends the open calls when the first signal comes; a second signal ends all waits."""

    def __init__(self, app: ASGIApp, *, drain: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=CONNECTIONS_WAITING_MAX,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
            )
        )
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._drain()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Signals are not raised again after the shutdown, which would skip closing the stores."""
        self.force_exit = self.should_exit
        self.should_exit = True
