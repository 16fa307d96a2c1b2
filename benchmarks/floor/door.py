"""The floor's HTTP door: a raw ASGI application, JSON in and out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.floor.store import Store
from benchmarks.floor.transitions import Transitions

JSON = (b"content-type", b"application/json")
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

Message = dict[str, Any]
Operation = Callable[..., Awaitable[Any]]


class Door:
    """Maps a path to a transition; opens the store with the server's event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._operations: dict[str, Operation] = {}

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        message = await receive()
        body: bytes = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        arguments = decode(body) if body else {}
        answer = encode(await self._operations[scope["path"]](**arguments))
        headers = [JSON, (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _live(
        self,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        await receive()
        transitions = Transitions(Store(self._path))
        self._operations = {
            "/readyz": _ready,
            "/start": transitions.start,
            "/result": transitions.result,
            "/poll-workflow-task": transitions.poll_workflow_task,
            "/workflow-task-complete": transitions.complete_workflow_task,
            "/poll-activity-task": transitions.poll_activity_task,
            "/activity-complete": transitions.complete_activity_task,
        }
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _ready() -> bool:
    return True
