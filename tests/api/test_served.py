"""The door behind a real server, over a real connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
)

from api.asgi import HttpDoor
from tests.api.world import PROTOBUF, Parked, World, answering

POLL = "/api/v1/namespaces/orders.acme/task-queues/q%2F1/poll-workflow-task"
KEY = {"authorization": "Bearer worker"}


@asynccontextmanager
async def served(door: HttpDoor) -> AsyncIterator[str]:
    """The address of a server on a free port of this machine."""
    config = uvicorn.Config(door, log_level="warning", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        started = asyncio.Event()
        startup = server.startup

        async def startup_and_tell(sockets: list[socket.socket] | None = None) -> None:
            await startup(sockets)
            started.set()

        server.startup = startup_and_tell  # type: ignore[method-assign]
        task = asyncio.create_task(server._serve([listening]))
        await started.wait()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def test_a_poll_is_answered_over_a_connection_that_is_kept() -> None:
    task = PollWorkflowTaskQueueResponse(task_token=b"t", attempt=1)
    world = World({"PollWorkflowTaskQueue": answering(task)})
    async with served(world.door()) as address, httpx.AsyncClient(headers=KEY) as client:
        for _ in range(3):
            answer = await client.post(address + POLL, content=b"", headers=PROTOBUF)
            assert PollWorkflowTaskQueueResponse.FromString(answer.content) == task
        head = await client.head(address + "/docs")
    assert (head.status_code, head.content) == (200, b"")
    request = PollWorkflowTaskQueueRequest.FromString(world.calls[2][1])
    assert (request.namespace, request.task_queue.name) == ("orders.acme", "q/1")


async def test_a_client_that_hangs_up_cancels_its_poll() -> None:
    parked = Parked()
    world = World({"PollWorkflowTaskQueue": parked})
    async with served(world.door()) as address:
        host, port = address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST {POLL} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer worker\r\n"
            "Content-Length: 2\r\n\r\n{}".encode()
        )
        await parked.began.wait()
        writer.close()
        await parked.ended.wait()
    assert world.open_calls.count == 0


async def test_a_body_over_the_limit_does_not_break_the_server() -> None:
    world = World()
    async with served(world.door()) as address, httpx.AsyncClient(headers=KEY) as client:
        large = await client.post(address + POLL, content=b" " * (5 * 1024 * 1024))
        after = await client.post(address + POLL)
    assert (large.status_code, after.status_code) == (413, 200)
