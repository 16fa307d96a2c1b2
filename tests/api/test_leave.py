"""The HTTP server ends, whoever comes meanwhile."""

from __future__ import annotations

import asyncio
import socket

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.server import Server, bound_socket

LOOK_AGAIN_SECONDS = 0.01


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Nobody gets so far as to ask."""


async def test_a_connection_that_comes_while_the_server_ends_does_not_keep_it() -> None:
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    arriving: list[asyncio.Task[object]] = []

    def protocol() -> HttpToolsProtocol:
        return HttpToolsProtocol(server.config, server.server_state, {})

    def drain() -> None:
        # It was accepted before the doors were closed, and is heard of in the loop's next turn.
        coming = loop.connect_accepted_socket(protocol, far)
        arriving.append(asyncio.ensure_future(coming))

    server = Server(nothing, drain=drain)
    with near, bound_socket("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        server.should_exit = True
        await serving
        assert near.recv(1) == b""
    [arrived] = arriving
    await arrived
