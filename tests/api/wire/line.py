"""A server that tests can stop and start, and a client that keeps a connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from api.wire.client import WireClient
from api.wire.server import Service, WireServer

LONG_SECONDS = 30.0


class Line:
    """A server that can be stopped and started, and a client of it."""

    def __init__(self, path: Path, service: Service) -> None:
        self._path = path
        self._service = service
        self._listener: asyncio.Server | None = None
        self.server = WireServer(service)
        self.client = WireClient("cell", self._connect)

    async def start(self) -> None:
        self.server = WireServer(self._service)
        self._path.unlink(missing_ok=True)
        self._listener = await asyncio.get_running_loop().create_unix_server(
            self.server.protocol, self._path
        )

    async def stop(self) -> None:
        """As if the process had been killed: nothing is waited for."""
        assert self._listener is not None
        self._listener.close()
        await self.server.drain(0)

    async def ask(self, payload: bytes) -> bytes:
        return await self.client.call(payload, connect_seconds_max=LONG_SECONDS)

    async def _connect(self, protocol: Callable[[], asyncio.Protocol]) -> object:
        return await asyncio.get_running_loop().create_unix_connection(protocol, str(self._path))


@asynccontextmanager
async def line(tmp_path: Path, service: Service) -> AsyncIterator[Line]:
    made = Line(tmp_path / "wire", service)
    made.client.start()
    try:
        yield made
    finally:
        await made.client.stop()
        await made.stop()
