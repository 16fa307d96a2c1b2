"""Card, invoices and their files, as an account's owner gets them through the door."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from billing.tables import Usage
from billing.times import hour_of, hour_start, month_named, month_of
from tests.control.visitor import Site, Visitor

LAST_MONTH = f"{datetime.now(UTC).replace(day=1) - timedelta(days=1):%Y-%m}"
GOOD, DECLINED_LATER = "4242 4242 4242 4242", "4000 0000 0000 0341"


def month_after(at: datetime) -> datetime:
    return hour_start(month_of(hour_of(at)).to_hour)


async def enter_card(owner: Visitor, number: str, page: str = "checkout") -> str:
    """Puts a card on the hosted page; where that leads to."""
    address = (await owner.post(f"/api/v1/billing/{page}"))["url"]
    path = urlsplit(address).path
    shown = await owner.http.get(path, headers={"accept": "text/html"})
    assert "no money moves" in shown.text
    sent = await owner.http.post(path, data={"number": number, "expiry": "12/30", "cvc": "123"})
    return sent.headers.get("location", "") if sent.status_code == 303 else sent.text


async def close(site: Site, owner: Visitor, actions: int) -> str:
    """Last month's invoice of so many Actions."""
    async with site.cloud.database.transaction() as session:
        session.add(
            Usage(
                namespace_id=f"orders-{owner.account_id}",
                hour=month_named(LAST_MONTH).from_hour,
                action="start_workflow",
                workflow_type="Order",
                task_queue="orders",
                account_id=owner.account_id,
                count=actions,
            )
        )
    closing = site.cloud.payments.closing
    return await closing.close_account(owner.account_id, LAST_MONTH)


async def test_a_card_is_put_on_file_and_pays_the_invoice(site: Site) -> None:
    owner = await site.owner()
    told = await owner.get("/api/v1/billing")
    assert (told["plan"], told["card"], told["owed"]) == ("developer", None, "0.00")
    assert told["payment_service"] == "stand-in"
    assert await enter_card(owner, GOOD) == "http://cloud.test/billing?notice=card"
    card = (await owner.get("/api/v1/billing"))["card"]
    assert card == {"brand": "visa", "last4": "4242", "expires": "2030-12"}
    invoice_id = await close(site, owner, 2_000_000)
    (listed,) = (await owner.get("/api/v1/invoices"))["invoices"]
    assert (listed["id"], listed["state"], listed["total"]) == (invoice_id, "paid", "110.00")
    told = await owner.get(f"/api/v1/invoices/{invoice_id}")
    assert [(line["text"], line["quantity"], line["amount"]) for line in told["lines"]] == [
        ("Actions", 2_000_000, "100.00"),
        ("Developer plan", None, "10.00"),
    ]


async def test_an_invoice_is_a_file_for_programs_and_one_for_people(site: Site) -> None:
    owner = await site.owner()
    invoice_id = await close(site, owner, 1_000)
    path = f"/api/v1/invoices/{invoice_id}"
    number = (await owner.get(path))["number"]
    table = await owner.call("GET", f"{path}/csv")
    assert table.headers["content-disposition"] == f'attachment; filename="{number}.csv"'
    first, second = csv.DictReader(io.StringIO(table.text))
    assert (first["invoice"], first["quantity"], first["amount"]) == (number, "1000", "0.05")
    assert (second["usage_month"], second["quantity"]) == (LAST_MONTH, "")
    paper = await owner.call("GET", f"{path}/pdf")
    assert paper.headers["content-type"] == "application/pdf"
    assert paper.content.startswith(b"%PDF-")


async def test_a_plan_is_chosen_for_the_next_month_and_taken_back(site: Site) -> None:
    owner, rival = await site.owner(), await site.owner()
    told = await owner.get("/api/v1/billing")
    assert (told["plan"], told["next_plan"]) == ("developer", None)
    fees = {each["plan"]: each["fee_minimum"] for each in told["plans"]}
    assert fees == {"developer": "0", "business": "500"}
    for plan, then in (("business", "business"), ("developer", None)):
        answer = await owner.call("PUT", "/api/v1/billing/plan", {"plan": plan})
        assert answer.json() == await owner.get("/api/v1/billing")
        assert answer.json() == told | {"next_plan": then}
    assert told["next_month_at"] == f"{month_after(datetime.now(UTC)):%Y-%m-%dT%H:%M:%SZ}"
    refused = await owner.call("PUT", "/api/v1/billing/plan", {"plan": "free"})
    assert refused.status_code == 400
    assert "plan" in refused.json()["message"]
    assert (await rival.get("/api/v1/billing"))["next_plan"] is None


async def test_a_declined_card_is_told_of_and_not_kept(site: Site) -> None:
    owner = await site.owner()
    assert "Your card was declined." in await enter_card(owner, "4000 0000 0000 0002")
    assert "Enter a card number" in await enter_card(owner, "4242")
    assert (await owner.get("/api/v1/billing"))["card"] is None


async def test_what_is_owed_is_paid_by_a_new_card_in_the_portal(site: Site) -> None:
    owner = await site.owner()
    await enter_card(owner, DECLINED_LATER)
    invoice_id = await close(site, owner, 1_000_000)
    assert (await owner.get("/api/v1/billing"))["owed"] == "55.00"
    assert (await owner.get(f"/api/v1/invoices/{invoice_id}"))["state"] == "failed"
    assert "Visa ending in 4242" in await enter_card(owner, GOOD, "portal")
    assert (await owner.get(f"/api/v1/invoices/{invoice_id}"))["state"] == "paid"
    assert (await owner.get("/api/v1/billing"))["owed"] == "0.00"


async def test_invoices_come_in_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.invoices.reading.INVOICES_PER_PAGE", 2)
    owner = await site.owner()
    months = ["2026-01", "2026-02", "2026-03"]
    for month in months:
        await site.cloud.payments.closing.close_account(owner.account_id, month)
    page = await owner.get("/api/v1/invoices")
    assert [each["month"] for each in page["invoices"]] == ["2026-03", "2026-02"]
    assert [each["state"] for each in page["invoices"]] == ["finalized", "finalized"]
    token = page["next_page_token"]
    rival = await (await site.owner()).call("GET", "/api/v1/invoices", next_page_token=token)
    assert rival.status_code == 400
    page = await owner.get("/api/v1/invoices", next_page_token=token)
    assert [each["month"] for each in page["invoices"]] == ["2026-01"]
    assert page["next_page_token"] == ""


async def test_a_foreign_invoice_and_a_draft_are_as_none(site: Site) -> None:
    owner, rival = await site.owner(), await site.owner()
    invoice_id = await close(site, rival, 5)
    draft = await site.cloud.payments.closing.snapshot(owner.account_id, LAST_MONTH)
    for id in (invoice_id, draft, "none"):
        for file in ("", "/pdf", "/csv"):
            answer = await owner.call("GET", f"/api/v1/invoices/{id}{file}")
            assert answer.status_code == 404
    assert (await owner.get("/api/v1/invoices"))["invoices"] == []


async def test_who_may_not_see_the_bill_sees_none_of_it(site: Site) -> None:
    owner = await site.owner()
    key = await owner.key(account_permission="read")
    program = site.stranger(authorization=f"Bearer {key}")
    for verb, path in (
        ("GET", "/api/v1/billing"),
        ("GET", "/api/v1/invoices"),
        ("GET", "/api/v1/invoices/x"),
        ("PUT", "/api/v1/billing/plan"),
        ("POST", "/api/v1/billing/checkout"),
        ("POST", "/api/v1/billing/portal"),
    ):
        assert (await program.call(verb, path)).status_code == 403
        assert (await site.stranger().call(verb, path)).status_code == 401


async def test_an_event_without_a_signature_is_refused(site: Site) -> None:
    answer = await site.stranger().call("POST", "/api/v1/stripe-events", {"id": "evt_1"})
    assert answer.status_code == 400
    assert "signature" in answer.json()["message"]


async def test_a_hosted_page_that_nobody_opened_is_none(site: Site) -> None:
    for page in ("checkout", "portal"):
        answer = await site.stranger().call("GET", f"/payments-stand-in/{page}/cs_1")
        assert answer.status_code == 404
