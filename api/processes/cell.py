"""A cell in a process of its own, for the fronts that connect to its socket."""

from __future__ import annotations

import asyncio
import signal

from api.cell_store import cell_store, postgres_of
from api.cells import open_cell
from api.config import Config
from api.installation import Installation, Part, installation
from api.processes.http import settle_memory
from api.processes.loop import run
from api.telemetry import Telemetry
from api.wire.cell import served
from api.wire.server import WireServer
from engine.persistence.protocols import Store

DRAIN_SECONDS = 1.0
"""For what changes something. Polls that are still open then are made again by their fronts."""


def main(config: Config) -> None:
    with (
        installation(config.data, Part.CELL) as held,
        postgres_of(held, config.store, config.running_postgres) as postgres,
    ):
        run(_serve(config, held, cell_store(held, postgres)))


async def _serve(config: Config, held: Installation, store: Store) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for sent in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sent, stop.set)
    telemetry = Telemetry.to_endpoint(config.otlp_endpoint) if config.otlp_endpoint else None
    path = held.cell_socket
    async with open_cell(held, store, telemetry) as cell:
        settle_memory()
        server = WireServer(served(cell))
        # Nobody else has the directory, so what is there was left by a process that is gone.
        path.unlink(missing_ok=True)
        listener = await loop.create_unix_server(server.protocol, path)
        await stop.wait()
        listener.close()
        await server.drain(DRAIN_SECONDS)
        path.unlink(missing_ok=True)
    if telemetry is not None:
        await asyncio.to_thread(telemetry.close)
