"""The control plane's own routes as one ASGI application that never raises."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI

from api.answering import answering, check_query
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
from api.control.document import secured

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


class _ControlApp(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return secured(super().openapi())


def control_app(desk: Desk) -> FastAPI:
    """Its OpenAPI document is part of the door's; it serves no pages of its own."""
    app = _ControlApp(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_access), Depends(check_query)],
    )
    app.state.desk = desk
    routers = [module.router for module in _MODULES]
    check_rows(route for router in routers for route in router.routes)
    for router in routers:
        app.include_router(router)
    answering(app)
    return app
