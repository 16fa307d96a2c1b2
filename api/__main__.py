"""Run the cloud: `python -m api [up] [--data DIR] [--host ADDRESS] [--port N] [--quiet]`."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys

import uvloop

from api.composition import Cloud, open_cloud
from api.config import Config, read_config
from api.installation import Installation, InstallationError, installation
from api.logs import set_up_logs
from api.server import AddressInUse, Server, bound_socket
from api.telemetry import Telemetry
from engine.errors import StoreError
from engine.persistence.sqlite import SqliteStore

EXIT_UNUSABLE = 2
LOOK_AGAIN_SECONDS = 0.05

THREAD_SWITCH_SECONDS = 0.0002

# Calls leave no cycles behind but live through several collections at the default of 700, which
# then look at thousands of runs in memory again and again.
GC_ALLOCATIONS = 50_000
GC_YOUNG_ROUNDS = 20
GC_MIDDLE_ROUNDS = 50


def main() -> int:
    config = read_config()
    # Stores make files of their own; nobody else on the machine is to read them.
    os.umask(0o077)
    # At the default of 5 ms a busy event loop keeps the thread that commits waiting for the
    # interpreter; at this interval a commit under load takes some milliseconds, not hundreds. Much
    # shorter ones cost the event loop more in switches than they save.
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    set_up_logs(is_quiet=config.is_quiet)
    try:
        with installation(config.data) as held, bound_socket(config.host, config.port) as listener:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(config, held, listener))
    except (InstallationError, AddressInUse, StoreError) as error:
        print(f"perdure: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    return 0


async def _serve(config: Config, held: Installation, listener: socket.socket) -> None:
    address = _address(config.host, listener)
    telemetry = Telemetry.to_endpoint(config.otlp_endpoint) if config.otlp_endpoint else None
    store = SqliteStore(held.cell_path)

    async with open_cloud(held, store, console_address=address, telemetry=telemetry) as cloud:
        # What is made at start stays; looking at it again and again would cost each request.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS, GC_YOUNG_ROUNDS, GC_MIDDLE_ROUNDS)
        server = Server(cloud.app, drain=cloud.drain)
        where = f"{address} (data in {held.data})"
        announcing = asyncio.create_task(_announce(cloud, server, where))
        await server.serve([listener])
        announcing.cancel()
    if telemetry is not None:
        await asyncio.to_thread(telemetry.close)


async def _announce(cloud: Cloud, server: Server, where: str) -> None:
    """Says so once calls are answered; shards are taken over some moments after the start."""
    while not (server.started and cloud.is_ready):  # noqa: ASYNC110 - only while it starts
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    print(f"Perdure is ready at {where}; Ctrl-C stops it", flush=True)


def _address(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


if __name__ == "__main__":
    sys.exit(main())
