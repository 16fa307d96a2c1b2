"""The pages of budgets."""

from __future__ import annotations

from tests.web.conftest import Visitor
from tests.web.fake_budgets import SECRET, budget
from tests.web.fake_cloud import NAMESPACE
from tests.web.markup import Page

FORM = {"name": "production", "amount": "200.00", "thresholds": "50, 80 %;100", "webhook_url": ""}


async def test_a_budget_shows_what_is_spent_and_which_thresholds_were_reached(
    user: Visitor,
) -> None:
    user.cloud.budgets = [budget(), budget(id="b-2", name="all", namespace="", spent="0")]
    page = await user.page("/budgets")
    assert "$120.00 of $200.00" in page.text
    assert "60 %, November 2026" in page.text
    assert "50 % reached" in page.text
    assert "80 % reached" not in page.text
    assert "The whole account" in page.text
    (part,) = page.all("rect", _class="spent-part")
    assert part.attributes["width"] == "60.0%"
    assert "/budgets/b-1" in page.links()


async def test_a_budget_that_stops_starts_says_so(user: Visitor) -> None:
    user.cloud.budgets = [budget(spent="200.01", is_stopping_starts=True, thresholds=[50, 120])]
    page = await user.page("/budgets")
    assert "Starts stopped" in page.text
    assert page.all("rect", _class="spent-over")


async def test_a_budget_is_made_for_a_namespace_or_the_account(user: Visitor) -> None:
    user.cloud.namespaces = {NAMESPACE: "ACTIVE"}
    page = await user.page("/budgets")
    assert [option.attributes["value"] for option in page.all("option")] == ["", NAMESPACE]
    answer = await user.post("/budgets", namespace=NAMESPACE, stops_starts="on", **FORM)
    assert answer.headers["location"] == "/budgets?notice=saved"
    ((verb, path, wanted),) = user.cloud.writes
    assert (verb, path) == ("POST", "/api/v1/budgets")
    assert wanted == {
        "name": "production",
        "amount": "200.00",
        "namespace": NAMESPACE,
        "thresholds": ["50", "80", "100"],
        "stops_starts": True,
        "webhook_url": "",
    }


async def test_what_was_typed_stays_in_the_form_that_is_refused(user: Visitor) -> None:
    answer = await user.post("/budgets", **{**FORM, "amount": "lots"})
    page = Page(answer.text)
    assert answer.status_code == 400
    assert "valid decimal" in page.text
    values = {it.attributes.get("name"): it.attributes.get("value") for it in page.all("input")}
    assert (values["amount"], values["name"]) == ("lots", "production")


async def test_a_webhooks_secret_is_shown_once(user: Visitor) -> None:
    answer = await user.post("/budgets", **{**FORM, "webhook_url": "https://example.com/"})
    assert SECRET in answer.text
    assert SECRET not in (await user.get("/budgets/new")).text
    assert SECRET in (await user.post("/budgets/new/webhook-secret")).text


async def test_a_budget_is_changed_and_deleted_at_the_version_that_was_seen(
    user: Visitor,
) -> None:
    user.cloud.budgets = [budget()]
    await user.page("/budgets/b-1")
    await user.post("/budgets/b-1", resource_version="3", **FORM)
    await user.post("/budgets/b-1/delete", resource_version="3")
    (changed, deleted) = user.cloud.writes
    assert changed[:2] == ("PUT", "/api/v1/budgets/b-1")
    assert changed[2]["resource_version"] == "3"
    assert deleted == ("DELETE", "/api/v1/budgets/b-1", {"resource_version": "3"})


async def test_a_test_of_the_webhook_says_what_went_wrong(user: Visitor) -> None:
    call = {
        "state": "failed",
        "attempts": 16,
        "problem": "it answered 503",
        "created_at": "2026-11-20T09:30:00Z",
    }
    user.cloud.budgets = [budget(webhook_url="https://example.com/", last_call=call)]
    page = await user.page("/budgets/b-1")
    assert "given up, it answered 503" in page.text
    answer = await user.post("/budgets/b-1/webhook-test")
    assert "The test was not accepted: it answered 500" in answer.text
