"""HTTP over TLS: puts what TLS told of the client into the scope of each of its calls."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.tls.connections import Connections
from api.tls.hosts import asked_host
from api.tls.peer import PEER_EXTENSION, Peer

_DER = 2
"""The number of this form in CPython's private module of OpenSSL."""


WAITING_BYTES_MAX = 64 * 1024


class TogetherTransport:
    """Writes what comes in one turn of the event loop in one go.

    An answer comes in two parts. Each would be a record to encrypt and a packet to send of its
    own, which is most of what TLS costs a small call.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= WAITING_BYTES_MAX:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._waiting and not self._transport.is_closing():
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0


class TlsProtocol(HttpToolsProtocol):
    def __init__(self, *arguments: Any, secured: Connections, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._secured = secured
        self.peer = Peer("", ())
        self._extensions = {PEER_EXTENSION: self.peer}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = TogetherTransport(transport, self.loop)  # type: ignore[assignment]
        connection = transport.get_extra_info("ssl_object")
        self.peer = Peer(asked_host(connection), presented_chain(connection))
        self._extensions = {PEER_EXTENSION: self.peer}
        self._secured.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._secured.closed(self)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]


def presented_chain(connection: ssl.SSLObject) -> tuple[bytes, ...]:
    """All certificates that the client sent, its own first, in DER."""
    leaf = connection.getpeercert(True)
    if leaf is None:
        return ()
    if hasattr(connection, "get_unverified_chain"):
        return tuple(connection.get_unverified_chain())
    # Public from Python 3.13 on; before, the same function is there under the private object.
    inner = getattr(connection, "_sslobj", None)
    chain = inner.get_unverified_chain() if inner is not None else None
    return tuple(each.public_bytes(_DER) for each in chain) if chain else (leaf,)
