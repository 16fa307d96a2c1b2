"""Serving a cloud over HTTP until a signal ends it."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from typing import Protocol

from starlette.types import ASGIApp

from api.server import Secured, Server, bound_socket
from api.tls import Tls

LOOK_AGAIN_SECONDS = 0.05

Greet = Callable[[str], None]
"""Says where the cloud is ready."""


class Served(Protocol):
    """What is called over HTTP. `drain` ends the calls that are open, so that a server can stop."""

    @property
    def app(self) -> ASGIApp: ...

    @property
    def tls(self) -> Tls: ...

    @property
    def is_ready(self) -> bool: ...

    def drain(self) -> None: ...


# Calls leave no cycles behind, and what outlives one is a run that stays in memory: so many of them
# are looked at together that a collection takes some milliseconds and no call waits for long, twice
# at most each, and all of memory hardly ever.
GC_ALLOCATIONS = 10_000
GC_YOUNG_ROUNDS = 1
GC_MIDDLE_ROUNDS = 2_500


def settle_memory() -> None:
    """What was made at start stays; looking at it again and again would cost each request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, GC_YOUNG_ROUNDS, GC_MIDDLE_ROUNDS)


async def serve(
    cloud: Served,
    listener: socket.socket,
    where: str,
    greet: Greet,
    *,
    secured_listener: socket.socket | None = None,
) -> None:
    settle_memory()
    secured = _secured(cloud.tls, listener, secured_listener)
    if secured is not None:
        where += f", TLS on port {secured.listener.getsockname()[1]}"
    server = Server(cloud.app, drain=cloud.drain, secured=secured)
    announcing = asyncio.create_task(_announce(cloud, server, where, greet))
    await server.serve([listener])
    announcing.cancel()


def _secured(tls: Tls, listener: socket.socket, beside: socket.socket | None) -> Secured | None:
    """A second listener beside the one given, if TLS is spoken here."""
    if tls.trust is None or tls.settings.port is None:
        return None
    if beside is None:
        beside = bound_socket(listener.getsockname()[0], tls.settings.port)
    return Secured(beside, tls.trust.base, tls.connections)


async def _announce(cloud: Served, server: Server, where: str, greet: Greet) -> None:
    """Says so once calls are answered; shards are taken over some moments after the start."""
    while not (server.started and cloud.is_ready):  # noqa: ASYNC110 - only while it starts
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    greet(where)


def address_of(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"
