"""Who calls: an API key, the certificate of the connection, or a console session in a cookie."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from api.tls.certificates import ClientCertificates
from api.tls.peer import Peer
from api.transports.errors import InvalidHeader
from tenancy import Principal, Visit

SESSION_COOKIE = "perdure_session"
CSRF_HEADER = b"x-csrf-token"

RECENT_KEY_SECONDS = 1.0
"""How long an accepted key is not looked up again; revocation has 5 seconds in all."""

RECENT_KEY_COUNT_MAX = 10_000

KeyLookup = Callable[[str], Principal]
SessionLookup = Callable[[str], Awaitable[Visit]]
KeyUsed = Callable[[str], None]

_OF_BROWSERS = (b"origin", b"sec-fetch-site")


class Authenticator:
    """`keys` must answer from memory. `key_used` is told the id of each key that it accepts."""

    def __init__(
        self,
        *,
        keys: KeyLookup,
        sessions: SessionLookup,
        key_used: KeyUsed | None = None,
        certificates: ClientCertificates | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._key_used = key_used
        self._certificates = certificates
        self._monotonic = monotonic
        self._recent: dict[bytes, tuple[Principal, float]] = {}

    async def authenticate(
        self, headers: Mapping[bytes, bytes], *, is_write: bool, peer: Peer | None = None
    ) -> Principal | None:
        """The caller; None if the call carries no credential. Raises Unauthenticated.

        Certificates speak for programs: a browser attaches them to calls that any page makes. A
        session's writes must also carry the session's own token, because browsers attach
        cookies to calls that other pages make.
        """
        authorization = headers.get(b"authorization")
        if authorization is not None:
            return self._by_key(authorization)
        if _is_program(headers, peer):
            assert peer is not None
            assert self._certificates is not None, "whoever makes peers judges them"
            return self._certificates.principal(peer)
        cookies = headers.get(b"cookie")
        token = None if cookies is None else session_token(cookies.decode("latin-1"))
        if token is None:
            return None
        visit = await self._sessions(token)
        if is_write:
            visit.check_csrf(headers.get(CSRF_HEADER, b"").decode("latin-1"))
        return visit.principal

    def is_by_session(self, headers: Mapping[bytes, bytes], peer: Peer | None) -> bool:
        """Whether it is a session that speaks for the caller."""
        if b"authorization" in headers or _is_program(headers, peer):
            return False
        return session_token(headers.get(b"cookie", b"").decode("latin-1")) is not None

    def forget(self, headers: Mapping[bytes, bytes]) -> None:
        """Looks the credential of these headers up anew when it comes again."""
        self._recent.pop(headers.get(b"authorization", b""), None)

    def _by_key(self, authorization: bytes) -> Principal:
        recent = self._recent.get(authorization)
        now = self._monotonic()
        if recent is not None and now < recent[1]:
            return recent[0]
        scheme, _, text = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidHeader("authorization", "must be `Bearer <API key>`")
        self._recent.pop(authorization, None)
        principal = self._keys(text.strip())
        if self._key_used is not None:
            self._key_used(principal.id)
        if len(self._recent) >= RECENT_KEY_COUNT_MAX:
            self._recent.clear()
        self._recent[authorization] = (principal, now + RECENT_KEY_SECONDS)
        return principal


def _is_program(headers: Mapping[bytes, bytes], peer: Peer | None) -> bool:
    """Whether the caller's certificate speaks for it."""
    is_shown = peer is not None and bool(peer.chain)
    return is_shown and not any(name in headers for name in _OF_BROWSERS)


def session_token(cookies: str) -> str | None:
    """The session's token in a Cookie header."""
    for pair in cookies.split(";"):
        name, _, value = pair.strip().partition("=")
        if name == SESSION_COOKIE:
            return value
    return None
