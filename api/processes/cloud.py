"""The whole cloud in one process."""

from __future__ import annotations

import socket

from api.cell_store import cell_count, cell_store, postgres_of
from api.composition import cloud_settings, open_cloud
from api.config import Config
from api.days_ahead import set_clock
from api.installation import Installation, installation
from api.processes.http import Greet, address_of, serve
from api.processes.loop import run
from api.server import bound_socket
from api.telemetry import observed


def main(config: Config, greet: Greet) -> None:
    with (
        installation(config.data) as held,
        bound_socket(config.host, config.port) as listener,
        postgres_of(held, config.store) as postgres,
    ):
        cell_count(held, 1)
        set_clock(held, config.days_ahead)
        run(_serve(config, greet, held, postgres, listener))


async def _serve(
    config: Config, greet: Greet, held: Installation, postgres: str | None, listener: socket.socket
) -> None:
    address = address_of(config.host, listener)
    async with (
        observed(config.telemetry) as telemetry,
        open_cloud(
            held,
            cell_store(held, postgres),
            cloud_settings(config, address, postgres),
            telemetry,
        ) as cloud,
    ):
        await serve(cloud, listener, f"{address} (data in {held.data})", greet)
