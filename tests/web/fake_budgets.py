"""The budgets of the cloud in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Holder(Protocol):
    """The cloud, as far as budgets need it."""

    budgets: list[dict[str, Any]]
    writes: list[tuple[str, str, Any]]

    @property
    def guarded(self) -> Callable[[Any], Any]: ...

    @property
    def written(self) -> Callable[[Request], Any]: ...


def budget(**more: Any) -> dict[str, Any]:
    """As the API tells of one."""
    return {
        "id": "b-1",
        "name": "production",
        "namespace": "orders.k7m2qx",
        "amount": "200.00",
        "thresholds": [50, 80, 100],
        "stops_starts": False,
        "webhook_url": "",
        "resource_version": 3,
        "month": "2026-11",
        "currency": "USD",
        "spent": "120.00",
        "reached": [50],
        "is_stopping_starts": False,
        "last_call": None,
        **more,
    }


def budget_routes(cloud: Holder) -> list[Route]:
    async def list_all(_request: Request) -> Any:
        return {"budgets": cloud.budgets}

    async def get(request: Request) -> Any:
        return next(it for it in cloud.budgets if it["id"] == request.path_params["id"])

    async def put(request: Request) -> Any:
        await cloud.written(request)
        wanted = cloud.writes[-1][2]
        if not wanted["amount"].replace(".", "").isdecimal():
            refusal = {"code": 3, "message": "amount: input should be a valid decimal"}
            return JSONResponse(refusal, 400)
        made = budget(**{"id": "new", **request.path_params, **wanted})
        cloud.budgets = [it for it in cloud.budgets if it["id"] != made["id"]] + [made]
        return {"budget": made, "webhook_secret": SECRET if wanted["webhook_url"] else ""}

    async def renew_secret(request: Request) -> Any:
        await cloud.written(request)
        return {"webhook_secret": SECRET}

    async def call_webhook(_request: Request) -> Any:
        return {"is_accepted": False, "problem": "it answered 500"}

    one = "/api/v1/budgets/{id}"
    return [
        Route("/api/v1/budgets", cloud.guarded(list_all)),
        Route("/api/v1/budgets", cloud.guarded(put), methods=["POST"]),
        Route(one, cloud.guarded(get)),
        Route(one, cloud.guarded(put), methods=["PUT"]),
        Route(one, cloud.guarded(cloud.written), methods=["DELETE"]),
        Route(one + "/webhook-secret", cloud.guarded(renew_secret), methods=["POST"]),
        Route(one + "/webhook-test", cloud.guarded(call_webhook), methods=["POST"]),
    ]
