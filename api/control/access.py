"""Who may call each route of the control plane: one row per route, checked before anything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.control.desk import caller_of, desk_of, visit_of
from api.tls.peer import PEER_EXTENSION
from api.transports.errors import CatalogueGap
from tenancy import Access, Principal, permits
from tenancy.roles import NAMESPACE_ACCESS


@dataclass(frozen=True, slots=True)
class RouteAccess:
    """Any one of `access` suffices. Where `is_about` is set, the handler looks at that one thing as
    well, and a scoped key may be enough. `is_of_people` keeps programs out: a key does not do.
    """

    access: tuple[Access, ...]
    is_about: str = ""
    is_of_people: bool = False

    @property
    def is_by_session(self) -> bool:
        return self.is_of_people or Access.SESSION in self.access


def _of(*access: Access, about: str = "") -> RouteAccess:
    return RouteAccess(access, about)


_PUBLIC, _SESSION, _FINANCE = _of(Access.PUBLIC), _of(Access.SESSION), _of(Access.FINANCE)
_MANAGES, _OWNER = _of(Access.ACCOUNT_WRITE), _of(Access.OWNER)
_OWNER_THEMSELF = RouteAccess((Access.OWNER,), is_of_people=True)
_NAMESPACE_ADMIN = _of(Access.ADMIN, about="the namespace")

ROUTES: Mapping[tuple[str, str], RouteAccess] = {
    ("POST", "/api/v1/sign-up"): _PUBLIC,
    ("POST", "/api/v1/login"): _PUBLIC,
    ("POST", "/api/v1/login/second-step"): _PUBLIC,
    ("POST", "/api/v1/logout"): _SESSION,
    ("GET", "/api/v1/session"): _SESSION,
    ("GET", "/api/v1/security"): _SESSION,
    ("DELETE", "/api/v1/sessions"): _SESSION,
    ("DELETE", "/api/v1/sessions/{session_id}"): _SESSION,
    ("POST", "/api/v1/password"): _SESSION,
    ("POST", "/api/v1/password-resets"): _PUBLIC,
    ("POST", "/api/v1/password-resets/complete"): _PUBLIC,
    ("POST", "/api/v1/email-proofs"): _SESSION,
    ("POST", "/api/v1/email-proofs/complete"): _PUBLIC,
    ("POST", "/api/v1/second-factor"): _SESSION,
    ("GET", "/api/v1/second-factor"): _SESSION,
    ("GET", "/api/v1/second-factor/qr.svg"): _SESSION,
    ("POST", "/api/v1/second-factor/confirm"): _SESSION,
    ("POST", "/api/v1/second-factor/recovery-codes"): _SESSION,
    ("POST", "/api/v1/second-factor/remove"): _SESSION,
    ("DELETE", "/api/v1/members/{user_id}/second-factor"): _OWNER,
    ("PUT", "/api/v1/security-policy"): _OWNER_THEMSELF,
    ("POST", "/api/v1/invitations/look-up"): _PUBLIC,
    ("POST", "/api/v1/invitations/accept"): _PUBLIC,
    ("POST", "/api/v1/invitations/{user_id}/send"): _MANAGES,
    ("POST", "/api/v1/api-keys"): _of(Access.ACCOUNT_READ, about="what the caller may do itself"),
    ("GET", "/api/v1/client-certificates"): _of(
        Access.ACCOUNT_READ, *sorted(NAMESPACE_ACCESS), about="the namespace"
    ),
    ("POST", "/api/v1/denied-certificates"): _NAMESPACE_ADMIN,
    ("DELETE", "/api/v1/denied-certificates/{fingerprint}"): _NAMESPACE_ADMIN,
    ("POST", "/api/v1/revocation-lists"): _NAMESPACE_ADMIN,
    ("DELETE", "/api/v1/revocation-lists/{authority}"): _NAMESPACE_ADMIN,
    ("GET", "/api/v1/usage/cost"): _of(Access.USAGE),
    ("GET", "/api/v1/usage/series"): _of(Access.USAGE),
    ("GET", "/api/v1/usage"): _of(Access.READ, Access.USAGE, about="the namespace"),
    ("GET", "/api/v1/billing"): _FINANCE,
    ("PUT", "/api/v1/billing/plan"): _FINANCE,
    ("POST", "/api/v1/billing/checkout"): _FINANCE,
    ("POST", "/api/v1/billing/portal"): _FINANCE,
    ("GET", "/api/v1/invoices"): _FINANCE,
    ("GET", "/api/v1/invoices/{invoice_id}"): _FINANCE,
    ("GET", "/api/v1/invoices/{invoice_id}/csv"): _FINANCE,
    ("GET", "/api/v1/invoices/{invoice_id}/pdf"): _FINANCE,
    ("POST", "/api/v1/stripe-events"): _PUBLIC,
    ("GET", "/api/v1/budgets"): _FINANCE,
    ("POST", "/api/v1/budgets"): _FINANCE,
    ("GET", "/api/v1/budgets/{budget_id}"): _FINANCE,
    ("PUT", "/api/v1/budgets/{budget_id}"): _FINANCE,
    ("DELETE", "/api/v1/budgets/{budget_id}"): _FINANCE,
    ("POST", "/api/v1/budgets/{budget_id}/webhook-secret"): _FINANCE,
    ("POST", "/api/v1/budgets/{budget_id}/webhook-test"): _FINANCE,
    ("GET", "/api/v1/single-sign-on"): _of(Access.ACCOUNT_READ),
    ("PUT", "/api/v1/single-sign-on"): _OWNER,
    ("DELETE", "/api/v1/single-sign-on"): _OWNER,
    ("POST", "/api/v1/single-sign-on/domains"): _OWNER,
    ("POST", "/api/v1/single-sign-on/domains/{name}/proof"): _OWNER,
    ("DELETE", "/api/v1/single-sign-on/domains/{name}"): _OWNER,
    ("POST", "/api/v1/single-sign-on/test"): _OWNER_THEMSELF,
    ("POST", "/api/v1/single-sign-on/begin"): _PUBLIC,
    ("POST", "/api/v1/single-sign-on/finish"): _PUBLIC,
}
"""By verb and path. What has no row keeps the server from starting."""


def check_rows(routes: Iterable[BaseRoute]) -> None:
    """Raises CatalogueGap unless each route has its row, and each row its route."""
    served = {
        (verb, route.path)
        for route in routes
        if isinstance(route, APIRoute)
        for verb in route.methods or ()
    }
    if gaps := served ^ ROUTES.keys():
        raise CatalogueGap(" ".join(gap) for gap in gaps)


async def check_access(request: Request) -> None:
    """Refuses whom the route's row does not let in, before its body is looked at.

    What a caller may do in a single namespace is the handler's to look at.
    """
    path: str = request.scope["route"].path
    row = ROUTES[request.method, path]
    if Access.PUBLIC in row.access:
        return
    is_for_all = Access.SESSION in row.access
    if row.is_by_session:
        caller = (await visit_of(request, is_enrolling=is_for_all)).principal
    else:
        caller = await caller_of(request)
    await _check_host(request, caller)
    if is_for_all:
        return
    if NAMESPACE_ACCESS.isdisjoint(row.access) and not any(
        permits(caller, access, None) for access in row.access
    ):
        await desk_of(request).control.require(caller, row.access[0], f"{request.method} {path}")


async def _check_host(request: Request, caller: Principal) -> None:
    """Raises WrongHost where host, account and namespace of a call over TLS do not agree."""
    peer = request.scope.get("extensions", {}).get(PEER_EXTENSION)
    if peer is None:
        return
    certificates = desk_of(request).tls.certificates
    certificates.check_account(peer, caller.account_id)
    certificates.check_namespace(peer, request.query_params.get("namespace", ""))
    body: object = None
    with suppress(ValueError, RecursionError):
        # What cannot be read is refused by whoever needs it.
        body = await request.json()
    named = body.get("namespace") if isinstance(body, dict) else None
    if isinstance(named, str):
        certificates.check_namespace(peer, named)
