"""The control plane's part of the OpenAPI document, with who may call what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.authentication import CSRF_HEADER, SESSION_COOKIE
from api.control.access import ROUTES, RouteAccess
from tenancy import Access

_READS = frozenset({"GET", "HEAD"})
_SCHEMES = {
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": "What a log-in gives to a browser.",
    },
    "csrfToken": {
        "type": "apiKey",
        "in": "header",
        "name": CSRF_HEADER.decode(),
        "description": "The session's own token, beside its cookie in all that changes something.",
    },
}

Requirement = dict[str, list[str]]


def secured(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with each operation's credentials, as its row says them."""
    paths = {
        path: {
            verb: {**operation, "security": _security(verb.upper(), ROUTES[verb.upper(), path])}
            for verb, operation in operations.items()
        }
        for path, operations in document["paths"].items()
    }
    components = {**document.get("components", {}), "securitySchemes": _SCHEMES}
    return {**document, "paths": paths, "components": components}


def _security(verb: str, row: RouteAccess) -> list[Requirement]:
    """Any one of these suffices; an empty list is for everybody."""
    if Access.PUBLIC in row.access:
        return []
    session: Requirement = {"session": []}
    if verb not in _READS:
        session["csrfToken"] = []
    return [session] if row.is_by_session else [{"apiKey": []}, session]
