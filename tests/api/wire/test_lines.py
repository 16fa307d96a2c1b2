"""Processes of one installation meet by TLS; nobody else is let in, and none passes for another."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.installation import Installation, installation
from api.wire.client import WireClient
from api.wire.frames import Kind, encoded
from api.wire.lines import Lines, parsed
from api.wire.server import WireServer
from tests.api.wire.line import LONG_SECONDS
from tests.product.server import free_port


async def echo(payload: bytes) -> bytes:
    return b"answer to " + payload


@pytest.fixture
def held(tmp_path: Path) -> Installation:
    with installation(tmp_path / "one") as held:
        return held


@pytest.fixture
def stranger(tmp_path: Path) -> Installation:
    with installation(tmp_path / "other") as stranger:
        return stranger


@asynccontextmanager
async def listening(held: Installation, name: str) -> AsyncIterator[str]:
    """The address of a process with that name, which answers."""
    server = WireServer(echo)
    address = f"127.0.0.1:{free_port()}"
    listener = await Lines(held, name).listen(address, server.protocol)
    yield address
    listener.close()
    await server.drain(0)


async def test_a_call_goes_over_tls_with_certificates_of_both(held: Installation) -> None:
    async with listening(held, "cell-1") as address:
        client = WireClient("cell-1", Lines(held, "frontend").to("cell-1", address))
        client.start()
        answer = await client.call(b"call" * 100_000, connect_seconds_max=LONG_SECONDS)
        assert answer == b"answer to " + b"call" * 100_000
        await client.stop()


async def heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes) -> bytes:
    """What is answered until the connection is closed."""
    writer.write(said)
    try:
        return await reader.read()
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        writer.transport.abort()


async def refusal(held: Installation, name: str, address: str) -> Exception | None:
    """Why no connection is made, or None."""
    ended = asyncio.Event()

    class Probe(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            ended.set()

    try:
        await Lines(held, "frontend").to(name, address)(Probe)
    except (OSError, ssl.SSLError) as error:
        return error
    # With TLS 1.3 a server refuses the client's certificate after the handshake.
    await ended.wait()
    return ConnectionError()


async def test_another_installation_is_refused_on_both_sides(
    held: Installation, stranger: Installation
) -> None:
    async with listening(held, "cell-1") as address:
        told = await refusal(stranger, "cell-1", address)
    assert isinstance(told, ssl.SSLCertVerificationError)


async def test_who_shows_no_certificate_is_refused(held: Installation) -> None:
    async with listening(held, "cell-1") as address:
        host, port = parsed(address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        ends = await asyncio.open_connection(host, port, ssl=context)
        assert await heard(*ends, encoded(Kind.CALL, 1, b"call")) == b""


async def test_a_cell_does_not_pass_for_another(held: Installation) -> None:
    async with listening(held, "cell-2") as address:
        told = await refusal(held, "cell-1", address)
    assert isinstance(told, ssl.SSLCertVerificationError)
    assert "cell-1" in str(told)


async def test_plain_noise_is_refused(held: Installation) -> None:
    async with listening(held, "cell-1") as address:
        ends = await asyncio.open_connection(*parsed(address))
        assert await heard(*ends, b"GET / HTTP/1.1\r\n\r\n") == b""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1:7233", ("10.0.0.1", 7233)),
        ("cell.internal:1", ("cell.internal", 1)),
        ("[::1]:65535", ("::1", 65_535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parsed(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:65536", "::1:1", "a b:1", "h:x"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parsed(text)


async def test_without_an_address_it_is_a_socket_in_the_directory(
    held: Installation, allow_log: Callable[..., None]
) -> None:
    server = WireServer(echo)
    listener = await Lines(held, "cell-1").listen("", server.protocol)
    assert held.socket("cell-1").is_socket()
    client = WireClient("cell-1", Lines(held, "frontend").to("cell-1", ""))
    client.start()
    assert await client.call(b"call", connect_seconds_max=LONG_SECONDS) == b"answer to call"
    await client.stop()
    listener.close()
    await server.drain(0)
