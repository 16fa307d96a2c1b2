"""Plans, card and invoices of the cloud in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

DEVELOPER = {
    "plan": "developer",
    "name": "Developer",
    "included_actions": 0,
    "tiers": [{"up_to": None, "per_million": "50"}],
    "fee_minimum": "0",
    "fee_percent": "10",
}
BUSINESS = {
    "plan": "business",
    "name": "Business",
    "included_actions": 2_500_000,
    "tiers": [
        {"up_to": 5_000_000, "per_million": "50"},
        {"up_to": 10_000_000, "per_million": "45"},
        {"up_to": None, "per_million": "25"},
    ],
    "fee_minimum": "500",
    "fee_percent": "10",
}
BILLING = {
    "account_id": "k7m2qx",
    "plan": "developer",
    "next_plan": None,
    "next_month_at": "2026-12-01T00:00:00Z",
    "plans": [DEVELOPER, BUSINESS],
    "currency": "USD",
    "payment_service": "stand-in",
    "card": None,
    "owed": "0.00",
    "is_restricted": False,
}


class Holder(Protocol):
    """The cloud, as far as billing needs it."""

    billing: dict[str, Any]
    invoices: list[dict[str, Any]]
    next_page: str

    @property
    def guarded(self) -> Callable[[Any], Any]: ...

    @property
    def written(self) -> Callable[[Request], Any]: ...


def billing_routes(cloud: Holder) -> list[Route]:
    async def show(_request: Request) -> Any:
        return cloud.billing

    async def open_page(request: Request) -> Any:
        await cloud.written(request)
        return {"url": f"https://checkout.stripe.com/{request.path_params['page']}"}

    async def list_invoices(_request: Request) -> Any:
        return {"invoices": cloud.invoices, "next_page_token": cloud.next_page}

    async def show_invoice(request: Request) -> Any:
        for each in cloud.invoices:
            if each["id"] == request.path_params["id"]:
                return each
        return JSONResponse({"code": 5, "message": "no such invoice", "details": []}, 404)

    return [
        Route("/api/v1/billing", cloud.guarded(show)),
        Route("/api/v1/billing/plan", cloud.guarded(cloud.written), methods=["PUT"]),
        Route("/api/v1/billing/{page}", cloud.guarded(open_page), methods=["POST"]),
        Route("/api/v1/invoices", cloud.guarded(list_invoices)),
        Route("/api/v1/invoices/{id}", cloud.guarded(show_invoice)),
    ]
