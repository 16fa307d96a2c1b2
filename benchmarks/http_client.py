"""A keep-alive HTTP/1.1 client just large enough to drive a server without being the bottleneck."""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple, Self


class BrokenAnswer(Exception):
    """The server's answer is not one this client can read."""


class Head(NamedTuple):
    """What the first lines of an answer say; header names are lower case."""

    status: int
    headers: dict[bytes, bytes]

    @property
    def body_bytes(self) -> int:
        """The length of the body that follows."""
        length = self.headers.get(b"content-length")
        if length is not None:
            if not length.isdigit():
                raise BrokenAnswer(f"content-length is {length!r}")
            return int(length)
        if self.status == 204:
            return 0
        raise BrokenAnswer("the answer has no content-length; chunked bodies are not read")

    @property
    def keeps_open(self) -> bool:
        return self.headers.get(b"connection", b"").lower() != b"close"


def parse_head(data: bytes) -> Head:
    """Parse a status line and headers, up to and including the empty line."""
    first, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    words = first.split(b" ", 2)
    if len(words) < 2 or words[0] != b"HTTP/1.1" or not words[1].isdigit():
        raise BrokenAnswer(f"not an HTTP/1.1 status line: {first!r}")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise BrokenAnswer(f"not a header: {line!r}")
        headers[name.lower()] = value.strip()
    return Head(int(words[1]), headers)


class Answer(NamedTuple):
    """One answer, read to its end."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Secured(NamedTuple):
    """How a server is spoken to by TLS, and by which of its names."""

    context: ssl.SSLContext
    host: str


class HttpClient:
    """Connections to one server on this machine, as many as there are requests at once."""

    def __init__(
        self, port: int, headers: dict[str, str] | None = None, secured: Secured | None = None
    ) -> None:
        self._port = port
        self._secured = secured
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        host = "127.0.0.1" if secured is None else secured.host
        lines = {"Host": f"{host}:{port}", **(headers or {})}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    async def request(self, verb: str, target: str, body: bytes = b"") -> Answer:
        """Send one request. A connection is used again only after its answer was read whole."""
        reader, writer = await self._connect()
        keep = False
        try:
            head_line = f"{verb} {target} HTTP/1.1\r\n".encode()
            length = b"Content-Length: %d\r\n\r\n" % len(body)
            writer.write(head_line + self._headers + length + body)
            head = parse_head(await reader.readuntil(b"\r\n\r\n"))
            size = head.body_bytes
            answer = Answer(head.status, head.headers, await reader.readexactly(size))
            keep = head.keeps_open
        except asyncio.IncompleteReadError as error:
            raise BrokenAnswer(f"the server closed the connection during {target}") from error
        finally:
            if keep:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        if self._secured is None:
            return await asyncio.open_connection("127.0.0.1", self._port)
        context, host = self._secured
        return await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=context, server_hostname=host
        )
