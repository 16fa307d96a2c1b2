"""Speaks for callers who present a certificate: judges it, and ends what it may no longer do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from api.tls.forwarded import ForwardedPeers
from api.tls.peer import PEER_EXTENSION, HostNames, Judged, Peer, host_in
from api.transports.errors import WrongHost
from tenancy import NamespaceTrust, Principal, Unauthenticated, UnauthenticatedReason, accept
from tenancy.randomness import Now

TrustLookup = Callable[[str], NamespaceTrust | None]


class ClientCertificates:
    """`trust_of` must answer from memory; `forwarded` is None where there is no proxy."""

    def __init__(
        self,
        *,
        trust_of: TrustLookup,
        hosts: HostNames,
        now: Now,
        forwarded: ForwardedPeers | None = None,
    ) -> None:
        self._trust_of = trust_of
        self._now = now
        self._forwarded = forwarded
        self.hosts = hosts

    def peer(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Peer | None:
        """The caller's end; None where the connection is plain. Raises WrongHost."""
        if self._forwarded is not None:
            peer = self._forwarded.peer(headers)
            if peer is not None:
                return peer
        peer = scope.get("extensions", {}).get(PEER_EXTENSION)
        if peer is not None and peer.host and host_in(headers.get(b"host", b"")) != peer.host:
            raise WrongHost("host", "is not the name that the TLS handshake asked for")
        return peer  # type: ignore[no-any-return]

    def check_namespace(self, peer: Peer, named: str) -> None:
        """Raises WrongHost for a call that is about another namespace than its host."""
        own = self.hosts.namespace_of(peer.host)
        if own is not None and named and named != own:
            raise WrongHost("namespace", f"is not that of the host {peer.host}")

    def check_account(self, peer: Peer, account_id: str) -> None:
        """Raises WrongHost for a caller of another account than its host."""
        own = self.hosts.namespace_of(peer.host)
        if own is not None and own.rpartition(".")[2] != account_id:
            raise WrongHost("host", f"the credential is of another account than {peer.host}")

    def principal(self, peer: Peer) -> Principal:
        """Who presents the chain. Raises Unauthenticated.

        Each call is judged by what is trusted now; what was found out holds while that is so.
        """
        trust = self._trust_of(self.hosts.namespace_of(peer.host) or "")
        if trust is None:
            raise Unauthenticated(UnauthenticatedReason.UNTRUSTED_CERTIFICATE)
        now, judged = self._now(), peer.judged
        if judged is None or judged.trust != trust or now >= judged.until:
            accepted = accept(trust, peer.chain, now)
            peer.judged = judged = Judged(trust, accepted.principal, accepted.until)
        return judged.principal

    def is_accepted(self, peer: Peer) -> bool:
        try:
            self.principal(peer)
        except Unauthenticated:
            return False
        return True
