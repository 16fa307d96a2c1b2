"""All but the cell: the door, the console and the control plane, before a cell behind a wire."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from api.cell_store import check_database, postgres_of
from api.cells import CELL
from api.composition import open_front
from api.config import Config
from api.installation import Installation, Part, installation
from api.processes.http import Greet, address_of, serve
from api.processes.loop import run
from api.server import bound_socket
from api.telemetry import Telemetry
from api.wire.cell import open_cell_client


def main(config: Config, greet: Greet) -> None:
    with (
        installation(config.data, Part.FRONT) as held,
        bound_socket(config.host, config.port) as listener,
        postgres_of(held, config.store, config.running_postgres) as postgres,
    ):
        run(_serve(config, greet, held, postgres, listener))


async def _serve(
    config: Config, greet: Greet, held: Installation, postgres: str | None, listener: socket.socket
) -> None:
    address = address_of(config.host, listener)
    telemetry = Telemetry.to_endpoint(config.otlp_endpoint) if config.otlp_endpoint else None
    path = str(held.cell_socket)
    if postgres is not None:
        await check_database(held, postgres)

    async def connect(protocol: Callable[[], asyncio.Protocol]) -> object:
        return await asyncio.get_running_loop().create_unix_connection(protocol, path)

    async with (
        open_cell_client(CELL, connect, telemetry) as cell,
        open_front(
            held,
            cell,
            console_address=address,
            database_url=postgres,
            telemetry=telemetry,
            tls=config.tls,
        ) as cloud,
    ):
        await serve(cloud, listener, f"{address} (data in {held.data})", greet)
    if telemetry is not None:
        await asyncio.to_thread(telemetry.close)
