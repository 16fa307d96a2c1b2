"""The other end of a connection, as TLS told of it, and the names that hosts have."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tenancy import NamespaceTrust, Principal

PEER_EXTENSION = "perdure.peer"
"""Where a protocol puts the Peer among the ASGI scope's extensions."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a chain was worth by one state of trust; it holds until the time given."""

    trust: NamespaceTrust
    principal: Principal
    until: datetime


@dataclass(slots=True, eq=False)
class Peer:
    """`host` is the name that was asked for at the handshake, empty if none was.

    `chain` are the certificates that were presented, the leaf first, in DER.
    """

    host: str
    chain: tuple[bytes, ...]
    judged: Judged | None = field(default=None, init=False)


@dataclass(frozen=True, slots=True)
class HostNames:
    """Every namespace has a host of its own: `<namespace>.<account>.<base domain>`."""

    base_domain: str

    def host_of(self, full_name: str) -> str:
        return f"{full_name}.{self.base_domain}"

    def namespace_of(self, host: str) -> str | None:
        """The `name.account` that a host stands for; None for any other host."""
        full_name = host.removesuffix(f".{self.base_domain}")
        if full_name == host or full_name.count(".") != 1:
            return None
        return full_name


def host_in(header: bytes) -> str:
    """The name in a Host header, without its port."""
    name = header.decode("latin-1").lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]
