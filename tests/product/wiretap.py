"""Somebody who listens between a program and the server, and reads whatever lies around."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


class Wiretap:
    """Passes on what goes both ways and keeps it."""

    def __init__(self, target: str) -> None:
        self.heard = bytearray()
        self.port = 0
        self._target = urlsplit(target)
        self._lines: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        for source, target in ((reader, back), (there, writer)):
            line = asyncio.create_task(self._pass_on(source, target))
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(CHUNK_BYTES):
                self.heard += chunk
                target.write(chunk)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()

    async def hang_up(self) -> None:
        for line in list(self._lines):
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)


@asynccontextmanager
async def tapped(target: str) -> AsyncIterator[Wiretap]:
    tap = Wiretap(target)
    server = await asyncio.start_server(tap.connected, "127.0.0.1", 0)
    tap.port = server.sockets[0].getsockname()[1]
    try:
        yield tap
    finally:
        server.close()
        await tap.hang_up()


def found(secrets: Iterable[str], data: bytes) -> set[str]:
    """Those of the secrets that the data shows, as they are or in base64 at any alignment."""
    return {secret for secret in secrets if any(form in data for form in _forms(secret.encode()))}


def _forms(secret: bytes) -> Iterable[bytes]:
    yield secret
    for shift in range(3):
        # Characters that neighbours of the secret would change are cut off at both ends.
        encoded = b64encode(bytes(shift) + secret).rstrip(b"=")
        first = (0, 2, 3)[shift]
        last = len(encoded) - ((shift + len(secret)) % 3 != 0)
        yield encoded[first:last]


def files_below(folder: Path) -> bytes:
    """Everything that is on the disk, byte by byte."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
