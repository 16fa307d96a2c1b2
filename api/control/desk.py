"""What the routes of the control plane work with, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

from api.authentication import Authenticator, session_token
from api.budgeting import Budgeting
from api.payments import Payments
from api.tls import Tls
from api.transports.errors import MissingCredential
from tenancy import (
    ControlPlane,
    Database,
    Principal,
    Unauthenticated,
    UnauthenticatedReason,
    Visit,
)
from tenancy.randomness import Now

_READS = frozenset({"GET", "HEAD"})
_SAME_SITE = frozenset({b"same-origin", b"same-site", b"none"})


@dataclass(frozen=True, slots=True)
class Desk:
    """`console_address` is where browsers find the console."""

    control: ControlPlane
    database: Database
    authenticator: Authenticator
    now: Now
    tls: Tls
    payments: Payments
    budgeting: Budgeting
    console_address: str = ""


def desk_of(request: Request) -> Desk:
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def client_address(request: Request) -> str:
    """The caller's address, for limits by address; a socket without one counts as one caller."""
    return "" if request.client is None else request.client.host


def is_secured(request: Request) -> bool:
    """Whether browsers come by HTTPS, be it to this server or to a proxy in front of it."""
    return "https" in (request.url.scheme, urlsplit(desk_of(request).console_address).scheme)


def user_agent(request: Request) -> str:
    """What the browser calls itself."""
    return request.headers.get("user-agent", "")


def check_origin(request: Request) -> None:
    """Raises Unauthenticated for what another site's page sends in a visitor's name.

    Requests that carry no session yet have no token that could be checked.
    """
    headers = dict(request.scope["headers"])
    origin = headers.get(b"origin")
    host = headers.get(b"host", b"")
    is_foreign = origin is not None and urlsplit(origin).netloc != host
    if is_foreign or headers.get(b"sec-fetch-site", b"none") not in _SAME_SITE:
        raise Unauthenticated(UnauthenticatedReason.FOREIGN_PAGE)


async def caller_of(request: Request) -> Principal:
    """By API key or session, looked up once; raises MissingCredential and Unauthenticated."""
    known = getattr(request.state, "caller", None)
    if isinstance(known, Principal):
        return known
    principal = await desk_of(request).authenticator.authenticate(
        dict(request.scope["headers"]), is_write=request.method not in _READS
    )
    if principal is None:
        raise MissingCredential
    request.state.caller = principal
    return principal


async def visit_of(request: Request, *, is_enrolling: bool = False) -> Visit:
    """The session behind the cookie; its own token must come with what changes something.

    `is_enrolling` lets in who must set up a second factor before anything else.
    """
    token = session_token(request.headers.get("cookie", ""))
    if token is None:
        raise Unauthenticated(UnauthenticatedReason.NO_SESSION)
    visit = await desk_of(request).control.sessions.resume(token, is_enrolling=is_enrolling)
    if request.method not in _READS:
        check_origin(request)
        visit.check_csrf(request.headers.get("x-csrf-token", ""))
    return visit
