"""Requests to addresses of tenants' reach the public Internet and nothing of ours."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tenancy import outgoing
from tenancy.errors import AddressRefused, NoAnswer
from tenancy.outgoing import REPLY_BYTES_MAX, URL_CHARACTERS_MAX, Outgoing, is_public
from tests.tls.pki import SERVER, authority, dns, leaf

PUBLIC = "93.184.216.34"


def resolving(*addresses: str, allows_loopback: bool = False) -> Outgoing:
    """One for which every host has these addresses."""

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return Outgoing(resolve=resolve, allows_loopback=allows_loopback)


@asynccontextmanager
async def listening(
    answer: bytes, *, hangs: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server on this machine, and what it heard."""
    heard: list[bytes] = []
    released = asyncio.Event()
    open_calls: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_calls.add(task)
        try:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            if hangs:
                await released.wait()
            writer.write(answer)
            await writer.drain()
        except (OSError, EOFError):
            pass  # The caller has left.
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        released.set()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*open_calls)


def answered(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.1.2.3
169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.168.0.1
198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8
::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1 fc00::1 fd00::1
fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1 4000::1 8000::1
""".split()


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_address_that_is_not_public_is_never_connected_to(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outgoing, "_exchange", _no_exchange)
    with pytest.raises(AddressRefused, match="not public"):
        await resolving(address).get("https://hooks.example.com/")


async def _no_exchange(*_given: object) -> None:
    raise AssertionError("something was connected to")


@pytest.mark.parametrize(
    "address", [PUBLIC, "8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::8a"]
)
def test_an_address_of_the_public_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(AddressRefused):
        await resolving(PUBLIC, "10.0.0.1").get("https://hooks.example.com/")


ODD_HOSTS = """
https://127.0.0.1/ https://127.1/ https://0/ https://0x7f000001/ https://0x7f.0.0.1/
https://2130706433/ https://017700000001/ https://0177.0.0.1/ https://127.0.0.1.:443/
https://localhost/ https://LOCALHOST/ https://localhost./ https://[::1]/ https://[::]/
https://[::ffff:127.0.0.1]/ https://[::ffff:7f00:1]/ https://[0:0:0:0:0:0:0:1]/
https://169.254.169.254/latest/meta-data/ https://[fe80::1]/ https://[fd00:ec2::254]/
https://10.0.0.1:8443/
""".split()


@pytest.mark.parametrize("url", ODD_HOSTS)
async def test_no_way_of_writing_our_own_address_leads_to_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this machine's own resolver, which knows more ways than we do."""
    monkeypatch.setattr(Outgoing, "_exchange", _no_exchange)
    with pytest.raises((AddressRefused, NoAnswer)):
        await Outgoing().get(url)


REFUSED = [
    "",
    "hooks.example.com",
    "//hooks.example.com/",
    "/relative",
    "https://",
    "https:///path",
    "http://hooks.example.com/",
    "HTTP://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://hooks.example.com/",
    "data:text/plain,hello",
    "unix:///run/docker.sock",
    "https://user@hooks.example.com/",
    "https://user:secret@hooks.example.com/",
    "https://hooks.example.com@127.0.0.1/",
    "https://:@hooks.example.com/",
    "https://hooks.example.com/#fragment",
    "https://hooks.example.com:80/",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:6379/",
    "https://hooks.example.com:0/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:x/",
    "https://hooks.example.com\n/",
    "https://hooks.example.com/\r\nx: y",
    "https://[::1/",
    "https://[nonsense]/",
    "https://xn--/",
    "https://hooks\u3002\u0000example.com/",
]


@pytest.mark.parametrize("url", REFUSED)
async def test_a_url_that_is_not_plain_https_is_refused_when_it_is_given(url: str) -> None:
    with pytest.raises(AddressRefused):
        resolving(PUBLIC).check(url)
    with pytest.raises(AddressRefused):
        await resolving(PUBLIC).get(url)


@pytest.mark.parametrize("characters", [-1, 0, 1])
def test_a_url_has_a_most_of_characters(characters: int) -> None:
    start = "https://hooks.example.com/"
    url = start + "a" * (URL_CHARACTERS_MAX + characters - len(start))
    if characters <= 0:
        Outgoing().check(url)
    else:
        with pytest.raises(AddressRefused):
            Outgoing().check(url)


@pytest.mark.parametrize("url", ["https://hooks.example.com:8443/x?y=1", "https://EXAMPLE.com"])
def test_a_public_url_is_accepted_when_it_is_given(url: str) -> None:
    Outgoing().check(url)


async def test_loopback_without_tls_is_for_development_alone() -> None:
    async with listening(answered(body=b"hello")) as (port, heard):
        url = f"http://hooks.test:{port}/x"
        reply = await resolving("127.0.0.1", allows_loopback=True).post(url, b"{}")
        assert (reply.status, reply.body) == (200, b"hello")
        assert heard[0].startswith(b"POST /x HTTP/1.1\r\n")
        assert f"host: hooks.test:{port}".encode() in heard[0].lower()
        with pytest.raises(AddressRefused):
            await resolving("127.0.0.1").post(url, b"{}")
        with pytest.raises(AddressRefused):
            await resolving("10.0.0.1", allows_loopback=True).post(url, b"{}")
        with pytest.raises(AddressRefused):
            await resolving(PUBLIC, allows_loopback=True).post(url, b"{}")
    assert len(heard) == 1


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with listening(answered("302 Found", b"", "location: http://127.0.0.1/")) as (
        port,
        heard,
    ):
        reply = await resolving("127.0.0.1", allows_loopback=True).get(f"http://a.test:{port}/")
    assert reply.status == 302
    assert not reply.is_success
    assert len(heard) == 1


@pytest.mark.parametrize("more_bytes", [-1, 0, 1])
async def test_an_answer_has_a_most_of_bytes(more_bytes: int) -> None:
    body = b"x" * (REPLY_BYTES_MAX + more_bytes)
    client = resolving("127.0.0.1", allows_loopback=True)
    async with listening(answered(body=body)) as (port, _):
        if more_bytes <= 0:
            assert (await client.get(f"http://a.test:{port}/")).body == body
        else:
            with pytest.raises(NoAnswer, match="bytes"):
                await client.get(f"http://a.test:{port}/")


async def test_a_small_answer_does_not_become_a_large_one() -> None:
    async with listening(answered("200 OK", b"zipped", "content-encoding: gzip")) as (port, heard):
        client = resolving("127.0.0.1", allows_loopback=True)
        assert (await client.get(f"http://a.test:{port}/")).body == b"zipped"
    assert b"accept-encoding: identity" in heard[0].lower()


async def test_a_server_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "EXCHANGE_SECONDS_MAX", 1.0)
    async with listening(answered(), hangs=True) as (port, _):
        with pytest.raises(NoAnswer):
            await resolving("127.0.0.1", allows_loopback=True).get(f"http://a.test:{port}/")


async def test_what_is_no_http_and_what_nobody_listens_to_gave_no_answer() -> None:
    client = resolving("127.0.0.1", allows_loopback=True)
    async with listening(b"SSH-2.0-OpenSSH\r\n") as (port, _):
        with pytest.raises(NoAnswer):
            await client.get(f"http://a.test:{port}/")
    with pytest.raises(NoAnswer):
        await client.get(f"http://a.test:{port}/")


async def test_the_certificate_must_be_the_hosts_and_of_a_ca_that_is_trusted(
    tmp_path: Path,
) -> None:
    """Of the host that was asked for, though an address is what is connected to."""
    root = authority()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(
        *leaf(root, usages=(SERVER,), names=(dns("hooks.test"),)).written(tmp_path)
    )
    trust = ssl.create_default_context(cadata=root.pem)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    trusting = Outgoing(resolve=resolve, allows_loopback=True, trust=trust)
    async with listening(answered(body=b"hello"), tls=server) as (port, heard):
        assert (await trusting.get(f"https://hooks.test:{port}/")).body == b"hello"
        with pytest.raises(NoAnswer, match="connection failed"):
            await trusting.get(f"https://other.test:{port}/")
        with pytest.raises(NoAnswer, match="connection failed"):
            await resolving("127.0.0.1", allows_loopback=True).get(f"https://hooks.test:{port}/")
    assert len(heard) == 1


async def test_a_host_without_an_address_gave_no_answer() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such host")

    with pytest.raises(NoAnswer, match="no address"):
        await Outgoing(resolve=resolve).get("https://hooks.example.com/")
