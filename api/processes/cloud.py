"""The whole cloud in one process."""

from __future__ import annotations

import socket

from api.cell_store import cell_count, cell_store, postgres_of
from api.composition import open_cloud
from api.config import Config
from api.installation import Installation, installation
from api.processes.http import Greet, address_of, serve
from api.processes.loop import run
from api.server import bound_socket
from api.telemetry import observed
from tenancy.outgoing import Outgoing


def main(config: Config, greet: Greet) -> None:
    with (
        installation(config.data) as held,
        bound_socket(config.host, config.port) as listener,
        postgres_of(held, config.store) as postgres,
    ):
        cell_count(held, 1)
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
            console_address=config.mail.console_url or address,
            database_url=postgres,
            telemetry=telemetry,
            tls=config.tls,
            mail=config.mail,
            stripe=config.stripe,
            outgoing=Outgoing(allows_loopback=config.allows_loopback),
        ) as cloud,
    ):
        await serve(cloud, listener, f"{address} (data in {held.data})", greet)
