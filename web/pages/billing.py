"""How the account pays: plan, card, invoices, and one invoice with its lines."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from web.cloud import Answer, segment
from web.formats import read_month, read_time
from web.visit import Visit

STATES = {
    "finalized": ("canceled", "Nothing to pay"),
    "sent": ("running", "Sent"),
    "paid": ("completed", "Paid"),
    "failed": ("failed", "Payment failed"),
    "void": ("canceled", "Void"),
}
"""How a state looks, and what it is called."""


async def show(visit: Visit) -> Response:
    billing = await visit.cloud.get("/api/v1/billing")
    query = {"next_page_token": page} if (page := visit.query("page")) else {}
    listed = await visit.cloud.get("/api/v1/invoices", **query)
    return visit.page(
        "billing.html",
        billing=billing,
        plan_names={each["plan"]: each["name"] for each in billing["plans"]},
        next_month_at=read_time(billing["next_month_at"]),
        is_stand_in=billing.get("payment_service") == "stand-in",
        invoices=[_shown(each) for each in listed.get("invoices") or []],
        next_page=listed.get("next_page_token") or "",
    )


async def show_invoice(visit: Visit) -> Response:
    path = f"/api/v1/invoices/{segment(visit.path('invoice'))}"
    invoice = await visit.cloud.get(path)
    lines = [{**each, "title": read_month(each["month"])} for each in invoice.get("lines") or []]
    return visit.page("invoice.html", invoice=_shown(invoice), lines=lines, files=path)


async def choose_plan(visit: Visit) -> Response:
    await visit.cloud.put("/api/v1/billing/plan", {"plan": visit.form.get("plan", "")})
    return visit.go("/billing", notice="saved")


async def open_checkout(visit: Visit) -> Response:
    return await _lead_to(visit, "/api/v1/billing/checkout")


async def open_portal(visit: Visit) -> Response:
    return await _lead_to(visit, "/api/v1/billing/portal")


async def _lead_to(visit: Visit, path: str) -> Response:
    """To a page of the payment service; only the API says where that is."""
    opened = await visit.cloud.post(path, {})
    return RedirectResponse(str(opened["url"]), 303)


def _shown(invoice: Answer) -> Answer:
    look, state = STATES.get(str(invoice["state"]), ("canceled", str(invoice["state"])))
    return {
        **invoice,
        "look": look,
        "state_text": state,
        "title": read_month(invoice["month"]),
        "issued_at": read_time(invoice.get("issued_at")),
        "paid_at": read_time(invoice.get("paid_at")),
        "failed_at": read_time(invoice.get("failed_at")),
    }
