"""TLS and client certificates of one process, put together once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from api.open_calls import OpenCalls
from api.tls.certificates import ClientCertificates
from api.tls.connections import Connections
from api.tls.files import CertificateFiles
from api.tls.forwarded import ForwardedPeers, Proxy
from api.tls.hop import Hop
from api.tls.hosts import TrustByHost
from api.tls.issuer import LocalIssuer
from api.tls.peer import HostNames
from api.tls.shown import ServerCertificate
from api.upkeep import Upkeep
from tenancy import NotFound, SnapshotView
from tenancy.randomness import Now

BASE_DOMAIN_DEFAULT = "localhost"
RENEW_SECONDS = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`port` is None where no TLS is spoken here, `proxy` where nobody forwards certificates.
    `proxy_secret` is empty where no proxy stands in front.

    Without `certificate` the server's own is issued on this machine.
    """

    base_domain: str = BASE_DOMAIN_DEFAULT
    port: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    proxy: Proxy | None = None
    proxy_secret: str = ""

    def server_certificate(self, data: Path) -> ServerCertificate:
        if self.certificate is not None and self.key is not None:
            return CertificateFiles(self.certificate, self.key)
        return LocalIssuer(data / "tls", self.base_domain)


class Tls:
    """`trust` is what a listener needs, `certificates` what the door behind it does.

    A process that is not `listening` is told by one that is what TLS told of its clients.
    """

    def __init__(
        self,
        settings: TlsSettings,
        *,
        data: Path,
        snapshot: SnapshotView,
        now: Now,
        is_listening: bool = True,
    ) -> None:
        self._snapshot = snapshot
        self.settings = settings
        self.open_calls = OpenCalls()
        self.hosts = HostNames(settings.base_domain)
        self.hop = Hop(settings.proxy_secret) if settings.proxy_secret and is_listening else None
        self._forwarded = None
        if settings.proxy is not None and is_listening:
            self._forwarded = ForwardedPeers(settings.proxy, settings.proxy_secret)
        self.connections = Connections(self.hosts)
        self.certificates = ClientCertificates(
            trust_of=snapshot.trust, hosts=self.hosts, now=now, forwarded=self._forwarded
        )
        self.trust = None
        if settings.port is not None and is_listening:
            self._certificate = settings.server_certificate(data)
            self.trust = TrustByHost(
                certificate=self._certificate,
                hosts=self.hosts,
                trust_of=snapshot.trust,
                is_known=self._is_known,
            )
        snapshot.on_trust_changed(self._end_refused)

    @property
    def is_spoken(self) -> bool:
        """Whether a client certificate can arrive here at all."""
        return self.settings.port is not None or self.settings.proxy is not None

    def start(self, upkeep: Upkeep) -> None:
        if self.trust is not None:
            upkeep.start("renew_server_certificate", self._renew)

    async def _renew(self) -> float:
        assert self.trust is not None, "only who listens shows a certificate"
        if await asyncio.to_thread(self._certificate.is_renewed):
            self.trust.renew()
            logger.info("server_certificate_renewed")
        return RENEW_SECONDS

    def _is_known(self, full_name: str) -> bool:
        try:
            self._snapshot.resolve(full_name)
        except NotFound:
            return False
        return True

    def _end_refused(self, full_name: str) -> None:
        """Ends the calls and connections of certificates that are not accepted any more."""
        peers = {connection.peer: connection for connection in self.connections.of(full_name)}
        forwarded = self._forwarded
        behind = () if forwarded is None else forwarded.of(self.hosts.host_of(full_name))
        # Many workers share a certificate, and each one is judged once.
        accepted: dict[tuple[bytes, ...], bool] = {}
        for peer in (*peers, *behind):
            judged = peer.judged
            if peer.chain not in accepted:
                accepted[peer.chain] = self.certificates.is_accepted(peer)
            if accepted[peer.chain]:
                continue
            if judged is not None:
                self.open_calls.revoke(judged.principal.id)
            if peer in peers:
                peers[peer].shutdown()
