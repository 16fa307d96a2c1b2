"""Where processes of an installation meet: sockets in its directory, or TLS between machines."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from functools import cached_property

from api.installation import Installation
from api.server import bound_socket
from api.wire.client import Connect
from api.wire.identity import WireIdentity, host_of

HANDSHAKE_SECONDS_MAX = 10.0
CONNECTIONS_WAITING_MAX = 256
KEEPALIVE_SECONDS = 5
SILENT_SECONDS_MAX = 15
"""A machine that answers nothing for so long is taken for gone."""

CONTROL_PLANE = "control"
FRONTEND = "frontend"
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
PORT_MAX = 65_535

Protocols = Callable[[], asyncio.Protocol]


class Lines:
    """The lines of the process `name`. An address is HOST:PORT, or empty for the socket of a name.

    Whatever is not a socket in the directory, which nobody else may enter, is TLS on both ends.
    """

    def __init__(self, held: Installation, name: str) -> None:
        self._held = held
        self._name = name

    def to(self, name: str, address: str) -> Connect:
        """Connects to the process of that name."""

        async def connect(protocols: Protocols) -> object:
            loop = asyncio.get_running_loop()
            if not address:
                return await loop.create_unix_connection(protocols, str(self._held.socket(name)))
            host, port = parsed(address)
            made = await loop.create_connection(
                protocols,
                host,
                port,
                ssl=self._connecting,
                server_hostname=host_of(name),
                ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX,
            )
            _keep_alive(made[0])
            return made

        return connect

    async def listen(self, address: str, protocols: Protocols) -> asyncio.Server:
        """Lets the other processes of the installation in. Raises AddressInUse."""
        loop = asyncio.get_running_loop()
        if not address:
            path = self._held.socket(self._name)
            # Nobody else has the directory, so what is there was left by a process that is gone.
            path.unlink(missing_ok=True)
            return await loop.create_unix_server(protocols, path)
        return await loop.create_server(
            protocols,
            sock=bound_socket(*parsed(address), remedy="--listen"),
            ssl=self._identity.listening(),
            ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX,
            backlog=CONNECTIONS_WAITING_MAX,
        )

    @cached_property
    def _identity(self) -> WireIdentity:
        return WireIdentity(self._name, pepper=self._held.secrets.pepper, folder=self._held.data)

    @cached_property
    def _connecting(self) -> ssl.SSLContext:
        return self._identity.connecting()


def parsed(address: str) -> tuple[str, int]:
    """Raises ValueError with what an address is."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > PORT_MAX:
        raise ValueError(f"{address!r} is no address: give HOST:PORT")
    return match["host"].strip("[]"), int(match["port"])


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    """A machine that is gone says nothing; its connections are to end all the same."""
    end = transport.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_SECONDS),
        ("TCP_KEEPINTVL", KEEPALIVE_SECONDS),
        ("TCP_KEEPCNT", 2),
        ("TCP_USER_TIMEOUT", SILENT_SECONDS_MAX * 1_000),
    ):
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
