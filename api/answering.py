"""How our own routes answer besides what they return: refusals, bounds, headers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import status_of
from api.transports.errors import (
    BodyTooLarge,
    InvalidQuery,
    InvalidRequest,
    TransportError,
    UnknownPath,
    WrongVerb,
)
from api.transports.http_fields import DOOR_PARAMETERS
from billing.errors import BillingError
from tenancy import TenancyError

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 64 * 1024
NAME_CHARACTERS_MAX = 100
"""How much of a name that somebody invented is told back."""

UNREADABLE = "is not JSON in UTF-8: send one JSON object"
NO_OBJECT = "must be one JSON object: send it with the content type application/json"

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


def answering(app: FastAPI) -> None:
    """Has it answer refusals, and all else, as every route of the cloud does."""
    for kind in (TenancyError, BillingError, TransportError):
        app.add_exception_handler(kind, _refuse)
    app.add_exception_handler(Exception, _tell)
    app.add_exception_handler(RequestValidationError, _refuse_fields)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_middleware(_Edge)


async def check_query(request: Request) -> None:
    """Raises InvalidQuery for a parameter that its route does not have, as every method does.

    Who misspells the one that says where a list goes on would read its beginning for ever.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = dict.fromkeys(_parameters(route.dependant))
    for name in request.query_params:
        if name not in known and name not in DOOR_PARAMETERS:
            there_are = f"it has {', '.join(known)}" if known else "it has none"
            raise InvalidQuery(name[:NAME_CHARACTERS_MAX], f"no such parameter here: {there_are}")


def _parameters(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _parameters(inner)


class _Edge:
    """Bounds bodies and puts the headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read_bytes = 0

        async def receive_bounded() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > BODY_BYTES_MAX:
                raise BodyTooLarge(BODY_BYTES_MAX)
            return message

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive_bounded, send_with_headers)


async def _refuse(request: Request, error: Exception) -> Response:
    if status_of(error).is_our_fault:
        logger.error("call_failed", exc_info=error)
    return await _tell(request, error)


async def _tell(request: Request, error: Exception) -> Response:
    """What no tree knows is raised again behind this, and logged by whoever called us."""
    answer = status_of(error)
    return Response(answer.json(), answer.http_status, answer.headers, "application/json")


async def _refuse_fields(request: Request, error: Exception) -> Response:
    """The first field that is not acceptable. What was sent is not repeated: it may be secret."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where, *steps = first["loc"]
    if first["type"] == "json_invalid":
        return await _refuse(request, InvalidRequest("body", UNREADABLE))
    if where == "body" and not steps:
        return await _refuse(request, InvalidRequest("body", NO_OBJECT))
    return await _refuse(request, InvalidRequest(".".join(map(str, steps)), str(first["msg"])))


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    cause: Exception = UnknownPath(request.method, path)
    if isinstance(error.__cause__, TransportError):
        cause = error.__cause__
    elif error.status_code == 405:
        cause = WrongVerb(request.method, (error.headers or {}).get("Allow", "").split(", "))
    elif error.status_code != 404:
        # The only other thing that it refuses by itself is a body that its parser choked on.
        cause = InvalidRequest("body", UNREADABLE)
    return await _refuse(request, cause)
