"""Client certificates behind a proxy that ends TLS: told in a header, believed with a secret.

A header can be written by anybody, and a certificate is no secret. So one kind of header is read,
the one that the proxy in front overwrites, and only where the proxy proves itself beside it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import StrEnum
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from api.tls.hop import CLIENTS_HEADER, HOP_HEADER, Hop
from api.tls.peer import Peer, host_in
from api.transports.errors import InvalidHeader
from tenancy.certificates import UNREADABLE

PEERS_MAX = 10_000
FORWARDED_CHARACTERS_MAX = 32 * 1024

_ELEMENT = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_PAIR = re.compile(r'([A-Za-z]+)=("(?:\\.|[^"\\])*"|[^;]*)')
_ESCAPED = re.compile(r"\\(.)")


class Proxy(StrEnum):
    """What stands in front, and so how it tells of certificates."""

    NGINX = "nginx"
    ENVOY = "envoy"
    ALB = "alb"


def _of_envoy(value: str) -> str:
    """The chain or the leaf in the last element: those before it came with the request."""
    elements = _ELEMENT.findall(value)
    if ",".join(elements) != value:
        # A quote that an earlier element left open would make the last one part of it.
        raise ValueError("unbalanced quotes")
    pairs = {
        name.lower(): _ESCAPED.sub(r"\1", it[1:-1]) if it.startswith('"') else it
        for name, it in _PAIR.findall(elements[-1] if elements else "")
    }
    return unquote(pairs.get("chain") or pairs.get("cert") or "")


HEADERS: Mapping[Proxy, tuple[bytes, Callable[[str], str]]] = {
    Proxy.NGINX: (b"x-client-cert", unquote),
    Proxy.ENVOY: (b"x-forwarded-client-cert", _of_envoy),
    Proxy.ALB: (b"x-amzn-mtls-clientcert", unquote),
}
"""The header of each kind, and how its value becomes PEM."""

TOLD_BY_PROXIES = frozenset({HOP_HEADER, CLIENTS_HEADER, *(name for name, _ in HEADERS.values())})


class ForwardedPeers:
    """Remembers the clients behind it, so that no certificate is judged again at each call."""

    def __init__(self, proxy: Proxy, secret: str) -> None:
        self._header, self._read = HEADERS[proxy]
        self._hop = Hop(secret)
        self._peers: OrderedDict[tuple[str, bytes], Peer] = OrderedDict()

    def peer(self, headers: Mapping[bytes, bytes]) -> Peer | None:
        """None where the call did not come by the proxy. Raises InvalidHeader."""
        if not self._hop.is_proven(headers):
            return None
        host, told = host_in(headers.get(b"host", b"")), headers.get(self._header, b"")
        peer = self._peers.get((host, told))
        if peer is None:
            self._peers[host, told] = peer = Peer(host, self._chain(told))
            if len(self._peers) > PEERS_MAX:
                self._peers.popitem(last=False)
        self._peers.move_to_end((host, told))
        return peer

    def of(self, host: str) -> list[Peer]:
        return [peer for peer in self._peers.values() if peer.host == host]

    def _chain(self, told: bytes) -> tuple[bytes, ...]:
        if not told:
            return ()
        name = self._header.decode()
        if len(told) > FORWARDED_CHARACTERS_MAX:
            raise InvalidHeader(name, f"has more than {FORWARDED_CHARACTERS_MAX} characters")
        try:
            pem = self._read(told.decode("latin-1")).encode()
            chain = x509.load_pem_x509_certificates(pem) if pem else []
        except UNREADABLE:
            raise InvalidHeader(name, "holds no certificate in PEM") from None
        return tuple(each.public_bytes(Encoding.DER) for each in chain)
