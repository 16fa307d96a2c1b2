"""The pages of billing: plan, card, invoices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Visitor
from tests.web.fake_cloud import CSRF

ID = "0b0e1a5c-0000-4000-8000-000000000001"


def invoice(state: str, number: str = "INV-000007", **more: Any) -> dict[str, Any]:
    told = {
        "id": ID,
        "number": number,
        "month": "2026-10",
        "state": state,
        "currency": "USD",
        "total": "55.00",
        "issued_at": "2026-11-01T02:10:00Z",
        "paid_at": None,
        "failed_at": None,
    }
    return told | more


async def test_without_a_card_the_page_asks_for_one(user: Visitor) -> None:
    page = await user.page("/billing")
    assert "Put a card on file" in page.text
    assert "No invoices yet" in page.text
    assert "no money moves" in page.text


async def test_a_card_and_what_is_owed_are_shown(user: Visitor) -> None:
    user.cloud.billing |= {
        "card": {"brand": "visa", "last4": "4242", "expires": "2030-12"},
        "owed": "55.00",
        "payment_service": "live",
        "is_restricted": True,
    }
    user.cloud.invoices = [invoice("failed"), invoice("paid", "INV-000001", month="2026-09")]
    page = await user.page("/billing")
    assert "Visa ending in 4242 , expires 2030-12" in page.text
    assert "New workflows cannot start" in page.text
    assert "no money moves" not in page.text
    rows = [row.text for row in page.all("tr")]
    assert rows[1] == "October 2026 INV-000007 Payment failed 2026-11-01 02:10:00 $55.00"
    assert rows[2].startswith("September 2026 INV-000001 Paid")
    assert f"/billing/invoices/{ID}" in page.links()


async def test_both_plans_are_shown_with_their_prices(user: Visitor) -> None:
    page = await user.page("/billing")
    developer, business = (it.text for it in page.one("div", _class="pair").all("section"))
    assert developer.startswith("Developer in force")
    assert "None" in developer
    assert "$50.00" in developer
    assert developer.endswith("10 % of their cost")
    assert "in force" not in business
    assert "2 500 000 Actions" in business
    assert "$45.00 up to 10 000 000" in business
    assert "$25.00 all others" in business
    assert business.endswith("10 % of their cost, at least $500.00")


async def test_a_plan_is_chosen_from_the_next_month_on(user: Visitor) -> None:
    answer = await user.post("/billing/plan", plan="business")
    assert answer.headers["location"] == "/billing?notice=saved"
    assert user.cloud.writes == [("PUT", "/api/v1/billing/plan", {"plan": "business"})]
    user.cloud.billing |= {"next_plan": "business"}
    page = await user.page("/billing")
    assert "Business from 1 December 2026 on" in page.text
    assert "Business takes the place of Developer on 1 December 2026" in page.text
    (chosen,) = (it for it in page.all("option") if "selected" in it.attributes)
    assert chosen.attributes["value"] == "business"


@pytest.mark.parametrize("page", ["checkout", "portal"])
async def test_a_button_leads_to_the_payment_service(user: Visitor, page: str) -> None:
    answer = await user.post(f"/billing/{page}")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"https://checkout.stripe.com/{page}"
    assert user.cloud.writes == [("POST", f"/api/v1/billing/{page}", {})]
    policy = answer.headers["content-security-policy"]
    assert "form-action 'self' https://checkout.stripe.com https://billing.stripe.com;" in policy
    refused = await user.post(f"/billing/{page}", csrf="wrong" + CSRF)
    assert refused.status_code == 403


async def test_an_invoice_shows_its_lines_and_its_files(user: Visitor) -> None:
    lines = [
        {
            "month": "2026-10",
            "text": "Actions",
            "quantity": 1_000_000,
            "per_million": "50.00",
            "amount": "50.00",
        },
        {
            "month": "2026-10",
            "text": "Developer plan",
            "quantity": None,
            "per_million": None,
            "amount": "5.00",
        },
    ]
    user.cloud.invoices = [invoice("paid", paid_at="2026-11-01T02:11:00Z", lines=lines)]
    page = await user.page(f"/billing/invoices/{ID}")
    rows = [row.text for row in page.all("tr")]
    assert "October 2026" in rows[1]
    assert rows[1].endswith("$50.00 $50.00")
    assert rows[2] == "Developer plan October 2026 $5.00"
    assert rows[3] == "Total $55.00"
    assert "2026-11-01 02:11:00" in page.text
    assert {f"/api/v1/invoices/{ID}/pdf", f"/api/v1/invoices/{ID}/csv"} <= set(page.links())


async def test_an_invoice_that_is_not_there_is_no_page(user: Visitor) -> None:
    assert (await user.get("/billing/invoices/none")).status_code == 404
