"""The door, before cells and a control plane behind wires."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from api.config import Config, Verb
from api.days_ahead import set_clock
from api.frontend import open_frontend
from api.installation import Installation, Part, installation
from api.processes.http import Greet, address_of, serve
from api.processes.loop import run
from api.server import bound_socket
from api.telemetry import observed
from api.wire.lines import FRONTEND, Lines


def main(config: Config, greet: Greet) -> None:
    with (
        installation(config.data, Part.FRONTEND) as held,
        ExitStack() as stack,
    ):
        set_clock(held, config.days_ahead)
        listeners = [stack.enter_context(each) for each in _listeners(config)]
        run(_serve(config, greet, held, listeners))


def _listeners(config: Config) -> list[socket.socket]:
    """Those of whoever watches this process: callers wait in them while it is started again."""
    if config.parts.sockets:
        return [socket.socket(fileno=number) for number in config.parts.sockets]
    return [bound_socket(config.host, config.port)]


async def _serve(
    config: Config, greet: Greet, held: Installation, listeners: list[socket.socket]
) -> None:
    listener, *secured = listeners
    async with (
        observed(config.telemetry, Verb.FRONTEND) as telemetry,
        open_frontend(
            held,
            Lines(held, FRONTEND),
            control_plane=config.parts.control_plane,
            places=config.parts.places,
            telemetry=telemetry,
            tls=config.tls,
        ) as frontend,
    ):
        address = address_of(config.host, listener)
        await serve(
            frontend,
            listener,
            f"{address} (data in {held.data})",
            greet,
            secured_listener=secured[0] if secured else None,
        )
