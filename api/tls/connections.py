"""Connections that were made with a client certificate, by the namespace of their host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from api.tls.peer import HostNames, Peer


class Connection(Protocol):
    peer: Peer

    def shutdown(self) -> None:
        """Closes at once where no call is open, and else after the answer to it."""


class Connections:
    def __init__(self, hosts: HostNames) -> None:
        self._hosts = hosts
        self._by_namespace: dict[str, set[Connection]] = {}

    def opened(self, connection: Connection) -> None:
        full_name = self._hosts.namespace_of(connection.peer.host)
        if full_name is not None and connection.peer.chain:
            self._by_namespace.setdefault(full_name, set()).add(connection)

    def closed(self, connection: Connection) -> None:
        full_name = self._hosts.namespace_of(connection.peer.host) or ""
        found = self._by_namespace.get(full_name, set())
        found.discard(connection)
        if not found:
            self._by_namespace.pop(full_name, None)

    def of(self, full_name: str) -> Iterable[Connection]:
        return tuple(self._by_namespace.get(full_name, ()))
