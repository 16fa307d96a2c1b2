"""Which certificate authorities a handshake trusts: those of the namespace whose host it names."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakKeyDictionary

from api.tls.certificates import TrustLookup
from api.tls.peer import HostNames
from api.tls.shown import ServerCertificate
from tenancy import NamespaceTrust

CONTEXTS_MAX = 2_000
"""Each takes some 25 KiB; one that was given up is made anew in less than a millisecond."""

HANDSHAKE_SECONDS_MAX = 10.0
SECURE_PROTOCOLS = ["http/1.1"]

_ASKED: WeakKeyDictionary[ssl.SSLObject, str] = WeakKeyDictionary()


class TrustByHost:
    """`base` is the context to listen with; it trusts nobody and picks another by name.

    One store with the CAs of all would let a tenant whose CA has the name and key id of another's
    shut that one out.
    """

    def __init__(
        self,
        *,
        certificate: ServerCertificate,
        hosts: HostNames,
        trust_of: TrustLookup,
        is_known: Callable[[str], bool],
    ) -> None:
        self._certificate = certificate
        self._hosts = hosts
        self._trust_of = trust_of
        self._is_known = is_known
        self._contexts: OrderedDict[str, tuple[NamespaceTrust | None, ssl.SSLContext]]
        self._contexts = OrderedDict()
        self.base = self._default = self._context(None, None)
        self.base.sni_callback = self._choose

    def renew(self) -> None:
        """From now on handshakes show the certificate that is shown now."""
        # Never loaded over the old one: a context keeps a certificate for each kind of key.
        self._default = self._context(None, None)
        self._contexts.clear()

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext
    ) -> None:
        assert isinstance(connection, ssl.SSLObject)
        host = "" if name is None else name.lower()
        _ASKED[connection] = host
        full_name = self._hosts.namespace_of(host)
        if full_name is not None and self._is_known(full_name):
            connection.context = self._context_of(full_name, host)
        elif self._default is not self.base:
            connection.context = self._default

    def _context_of(self, full_name: str, host: str) -> ssl.SSLContext:
        """Made at the first handshake, and again at the first after a change of trust."""
        trust = self._trust_of(full_name)
        found = self._contexts.get(full_name)
        if found is None or found[0] != trust:
            found = trust, self._context(host, trust)
            self._contexts[full_name] = found
            if len(self._contexts) > CONTEXTS_MAX:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(full_name)
        return found[1]

    def _context(self, host: str | None, trust: NamespaceTrust | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._certificate.load_into(context, host)
        # A session that is taken up again would be trusted by what was trusted at its beginning.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(SECURE_PROTOCOLS)
        # Who has no certificate may have an API key.
        context.verify_mode = ssl.CERT_OPTIONAL
        if trust is not None:
            context.load_verify_locations(cadata=trust.trust.authorities)
        return context


def asked_host(connection: ssl.SSLObject) -> str:
    """The name that the handshake of this connection asked for; empty if none."""
    return _ASKED.get(connection, "")
