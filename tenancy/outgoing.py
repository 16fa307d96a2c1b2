"""Requests to addresses that tenants give us: public ones, over TLS, small, quick, once.

A name is resolved here, once; what is connected to is the address that was checked, so that a
name which resolves otherwise a moment later leads nowhere.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import certifi
import httpx

from tenancy.errors import AddressRefused, NoAnswer
from tenancy.text_records import ReadTexts, system_texts

URL_CHARACTERS_MAX = 2_000
PORTS = (443, 8443)
CONNECT_SECONDS_MAX = 5.0
EXCHANGE_SECONDS_MAX = 10.0
REPLY_BYTES_MAX = 1_048_576

GLOBAL_UNICAST = IPv6Network("2000::/3")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; raises OSError if it has none."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Reply:
    """Whatever was answered; a redirect is an answer like any other and is not followed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class _Target:
    """An URL taken apart, with the address that was checked in the place of its host."""

    url: httpx.URL
    host: str
    authority: str


async def system_resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Outgoing:
    """`allows_loopback` is for development on one machine: then this machine itself may be asked,
    also without TLS and on any port. `trust` replaces the public CAs. `read_texts` alone asks no
    server of a tenant's.
    """

    def __init__(
        self,
        *,
        allows_loopback: bool = False,
        resolve: Resolve = system_resolve,
        read_texts: ReadTexts = system_texts,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.allows_loopback = allows_loopback
        self.read_texts = read_texts
        self._resolve = resolve
        self._trust = trust

    def check(self, url: str) -> None:
        """Raises AddressRefused for what can be refused by reading: call it before it is stored."""
        self._parsed(url)

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Raises AddressRefused and NoAnswer."""
        return await self.send("GET", url, headers=headers)

    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Raises AddressRefused and NoAnswer."""
        return await self.send("POST", url, body=body, headers=headers)

    async def send(
        self,
        verb: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request, one answer. Raises AddressRefused and NoAnswer."""
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS_MAX):
                target = await self._target(url)
                # Another encoding would let a small answer become a large one.
                more = {"accept-encoding": "identity", **(headers or {}), "host": target.authority}
                return await self._exchange(verb, target, body, more)
        except TimeoutError:
            raise NoAnswer(f"no answer within {EXCHANGE_SECONDS_MAX:g} seconds") from None
        except (httpx.HTTPError, OSError) as error:
            # The text of what failed may tell of our network.
            raise NoAnswer(_REASONS.get(type(error), "the connection failed")) from error

    async def _exchange(
        self, verb: str, target: _Target, body: bytes | None, headers: Mapping[str, str]
    ) -> Reply:
        async with (
            httpx.AsyncClient(
                verify=await self._context(),
                trust_env=False,
                timeout=httpx.Timeout(EXCHANGE_SECONDS_MAX, connect=CONNECT_SECONDS_MAX),
            ) as client,
            client.stream(
                verb,
                target.url,
                content=body,
                headers=headers,
                extensions={"sni_hostname": target.host},
            ) as response,
        ):
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > REPLY_BYTES_MAX:
                    raise NoAnswer(f"the answer has more than {REPLY_BYTES_MAX:,} bytes")
            return Reply(response.status_code, response.headers, bytes(received))

    async def _target(self, url: str) -> _Target:
        parsed = self._parsed(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        try:
            found = await self._resolve(parsed.host, port)
        except (OSError, UnicodeError):
            raise NoAnswer("the host has no address") from None
        # A link-local address may come with its interface behind it.
        addresses = [ip_address(text.partition("%")[0]) for text in found]
        # All of them: whoever gives one address of ours among others hopes for a mistake.
        if not addresses or not all(self._is_allowed(each, parsed, port) for each in addresses):
            raise AddressRefused("it leads to an address that is not public")
        authority = parsed.netloc.decode()
        return _Target(parsed.copy_with(host=str(addresses[0])), parsed.host, authority)

    def _parsed(self, url: str) -> httpx.URL:
        if len(url) > URL_CHARACTERS_MAX:
            raise AddressRefused(f"it has more than {URL_CHARACTERS_MAX:,} characters")
        try:
            parsed = httpx.URL(url)
            host = parsed.host
        except (httpx.InvalidURL, ValueError):
            raise AddressRefused("it is no URL") from None
        if not host or parsed.scheme not in ("https", "http"):
            raise AddressRefused("it is not of the form https://host/path")
        if parsed.userinfo or parsed.fragment:
            raise AddressRefused("it has a user, a password or a fragment")
        if not self.allows_loopback:
            _check_public_form(parsed)
        return parsed

    def _is_allowed(self, address: Address, url: httpx.URL, port: int) -> bool:
        if self.allows_loopback and address.is_loopback:
            return True
        return is_public(address) and url.scheme == "https" and port in PORTS

    async def _context(self) -> ssl.SSLContext:
        if self._trust is None:
            # Reading all public CAs takes a while.
            public = certifi.where()
            self._trust = await asyncio.to_thread(ssl.create_default_context, cafile=public)
        return self._trust


_REASONS: Mapping[type[Exception], str] = {
    httpx.ConnectTimeout: f"no connection within {CONNECT_SECONDS_MAX:g} seconds",
    httpx.RemoteProtocolError: "the answer is not HTTP",
}


def is_public(address: Address) -> bool:
    """Whether it is a single host of the public Internet, and no way to another address."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    is_way_on = address.sixtofour is not None or address.teredo is not None
    return address in GLOBAL_UNICAST and address.is_global and not is_way_on


def _check_public_form(url: httpx.URL) -> None:
    if url.scheme != "https":
        raise AddressRefused("it does not begin with https://")
    if url.port not in (None, *PORTS):
        raise AddressRefused(f"its port is none of {', '.join(map(str, PORTS))}")
