"""The way of an HTTP client to an application of its own process."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Scope


class Direct(httpx.AsyncBaseTransport):
    """As httpx's own, which looks for another kind of event loop before each call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        is_read = False
        answered = asyncio.Event()
        told: dict[str, Any] = {}
        content: list[bytes] = []

        async def receive() -> Message:
            nonlocal is_read
            if not is_read:
                is_read = True
                return {"type": "http.request", "body": body}
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                told.update(message)
            else:
                content.append(message.get("body", b""))
                if not message.get("more_body", False):
                    answered.set()

        await self._app(_scope(request), receive, send)
        return httpx.Response(told["status"], headers=told["headers"], content=b"".join(content))


def _scope(request: httpx.Request) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": None,
        "root_path": "",
    }
