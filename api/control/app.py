"""The control plane's own routes as one ASGI application that never raises."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.control import (
    billing,
    budgets,
    certificates,
    invitations,
    keys,
    security,
    sessions,
    single_sign_on,
    usage,
)
from api.control.access import check_access, check_rows
from api.control.desk import Desk
from api.errors import status_of
from api.transports.errors import (
    BodyTooLarge,
    InvalidRequest,
    TransportError,
    UnknownPath,
    WrongVerb,
)
from billing.errors import BillingError
from tenancy import TenancyError

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 64 * 1024

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


_MODULES = (
    sessions,
    keys,
    certificates,
    usage,
    billing,
    budgets,
    security,
    invitations,
    single_sign_on,
)


def control_app(desk: Desk) -> FastAPI:
    """Its OpenAPI document is part of the door's; it serves no pages of its own."""
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_access)],
    )
    app.state.desk = desk
    routers = [module.router for module in _MODULES]
    check_rows(route for router in routers for route in router.routes)
    for router in routers:
        app.include_router(router)
    answering(app)
    return app


def answering(app: FastAPI) -> None:
    """Has it answer refusals, and all else, as every route of the cloud does."""
    for kind in (TenancyError, BillingError, TransportError):
        app.add_exception_handler(kind, _refuse)
    app.add_exception_handler(Exception, _tell)
    app.add_exception_handler(RequestValidationError, _refuse_fields)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_middleware(_Edge)


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
    field = ".".join(str(step) for step in first["loc"] if step not in ("body", "query"))
    return await _refuse(request, InvalidRequest(field, str(first["msg"])))


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    cause: Exception = UnknownPath(request.method, path)
    if isinstance(error.__cause__, TransportError):
        cause = error.__cause__
    elif error.status_code == 405:
        cause = WrongVerb(request.method, (error.headers or {}).get("Allow", "").split(", "))
    elif error.status_code != 404:
        cause = InvalidRequest("", str(error.detail))
    return await _refuse(request, cause)
