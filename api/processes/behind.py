"""Serving other processes of the installation over the wire until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from api.processes.http import settle_memory
from api.wire.lines import Lines
from api.wire.server import Service, WireServer

DRAIN_SECONDS = 1.0
"""For what changes something. Polls that are still open then are made again by who asked."""


async def serve_wire(
    lines: Lines, address: str, service: Service, drain: Callable[[], None] = lambda: None
) -> None:
    """`drain` ends the calls that would go on for long. Raises AddressInUse."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for sent in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sent, stop.set)
    settle_memory()
    server = WireServer(service)
    listener = await lines.listen(address, server.protocol)
    await stop.wait()
    listener.close()
    drain()
    await server.drain(DRAIN_SECONDS)
