"""The HTTP server: its sockets, signals, and a shutdown that takes leave of its clients."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from api.catalogue import POLL_SECONDS
from api.tls.connections import Connections
from api.tls.hosts import HANDSHAKE_SECONDS_MAX
from api.tls.protocol import TlsProtocol

KEEP_ALIVE_SECONDS = int(POLL_SECONDS) * 3
"""Well above the longest poll, so that a client's pool never meets a connection just closed."""

SHUTDOWN_SECONDS_MAX = 10
LEAVE_AGAIN_SECONDS = 0.1
CONNECTIONS_WAITING_MAX = 2_048


class AddressInUse(Exception):
    def __init__(self, host: str, port: int, reason: str, remedy: str) -> None:
        super().__init__(f"cannot listen on {host}:{port} ({reason}): name another with {remedy}")
        self.host = host
        self.port = port


def bound_socket(host: str, port: int, remedy: str = "--host and --port") -> socket.socket:
    """Bound before anything is opened, so that a taken port is told at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise AddressInUse(host, port, error.strerror or str(error), remedy) from error
    return listener


class Secured(NamedTuple):
    """A second socket, on which TLS is spoken."""

    listener: socket.socket
    context: ssl.SSLContext
    connections: Connections


class Server(uvicorn.Server):
    """`drain` ends the open calls when the first signal comes; a second signal ends all waits."""

    def __init__(
        self, app: ASGIApp, *, drain: Callable[[], None], secured: Secured | None = None
    ) -> None:
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
        self._secured = secured

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._secured is not None:
            self.servers.append(await self._listen_secured(self._secured))

    async def _listen_secured(self, secured: Secured) -> asyncio.Server:
        def protocol() -> TlsProtocol:
            return TlsProtocol(
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                secured=secured.connections,
            )

        return await asyncio.get_running_loop().create_server(
            protocol,
            sock=secured.listener,
            ssl=secured.context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX,
            backlog=CONNECTIONS_WAITING_MAX,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._drain()
        leaving = asyncio.create_task(self._take_leave())
        try:
            await super().shutdown(sockets)
        finally:
            leaving.cancel()

    async def _take_leave(self) -> None:
        """Again and again: who was accepted before the end may be a connection only after it."""
        while True:
            for connection in tuple(self.server_state.connections):
                connection.shutdown()
            await asyncio.sleep(LEAVE_AGAIN_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Signals are not raised again after the shutdown, which would skip closing the stores."""
        self.force_exit = self.should_exit
        self.should_exit = True
