"""Stands between a store and its server, so that a connection can be lost at a chosen moment."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

CHUNK_BYTES = 1 << 16
SOCKET = ".s.PGSQL.5432"


class Proxy:
    """`on_question` and `on_answer` see what passes; False cuts the connection instead."""

    def __init__(self) -> None:
        self.on_question: Callable[[bytes], bool] = lambda _: True
        self.on_answer: Callable[[bytes], bool] = lambda _: True
        self.turns = 0
        """How often the store spoke after the server had."""
        self._is_servers_turn = False
        self._writers: list[asyncio.StreamWriter] = []

    def count_turns(self) -> None:
        self.turns, self._is_servers_turn = 0, False

    async def serve(
        self, server: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(server)
        self._writers += (writer, server_writer)
        with suppress(ConnectionError):
            await asyncio.gather(
                self._pass(reader, server_writer, self._asked),
                self._pass(server_reader, writer, self._answered),
            )

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        seen: Callable[[bytes], bool],
    ) -> None:
        while data := await source.read(CHUNK_BYTES):
            if not seen(data):
                break
            sink.write(data)
            await sink.drain()
        for writer in self._writers:
            writer.close()

    def _asked(self, data: bytes) -> bool:
        if not self._is_servers_turn:
            self.turns, self._is_servers_turn = self.turns + 1, True
        return self.on_question(data)

    def _answered(self, data: bytes) -> bool:
        self._is_servers_turn = False
        return self.on_answer(data)


@asynccontextmanager
async def between(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy and the URL of the same database through it."""
    with psycopg.connect(url) as connection:
        server = f"{connection.info.host}/.s.PGSQL.{connection.info.port}"
    folder = Path(tempfile.mkdtemp(prefix="perdure-proxy-"))
    proxy = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await proxy.serve(server, reader, writer)

    door = await asyncio.start_unix_server(serve, folder / SOCKET)
    try:
        yield proxy, make_conninfo(url, host=str(folder))
    finally:
        door.close()
        await proxy.close()
        shutil.rmtree(folder)
