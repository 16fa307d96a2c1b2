"""A budget through the network: who may make one, and what it stops once it is spent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from api.composition import CloudSettings, open_cloud
from api.installation import installation
from api.mail_settings import MailSettings
from engine.persistence.memory import MemoryStore
from tests.control.visitor import ADDRESS, Site, Visitor
from tests.control_database import KINDS
from tests.mailbox import open_mailbox

BUDGETS = "/api/v1/budgets"
STARTS_OF_A_CENT = 200
ORDER = {"workflowType": {"name": "Order"}, "taskQueue": {"name": "q"}}


@pytest.fixture(scope="module", params=KINDS)
async def quick_site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """One whose budgets are looked at all the time."""
    url = None
    if request.param == "postgres":
        make: Callable[[], str] = request.getfixturevalue("postgres_database")
        url = make()
    with pytest.MonkeyPatch.context() as patched, installation(tmp_path_factory.mktemp("c")) as it:
        patched.setattr("api.budgeting.LOOK_SECONDS", 0.05)
        patched.setattr("api.composition.upkeep.COLLECT_SECONDS", 0.05)
        async with (
            open_mailbox() as mailbox,
            open_cloud(
                it,
                MemoryStore(),
                CloudSettings(ADDRESS, url, mail=MailSettings(mailbox.url)),
            ) as cloud,
        ):
            yield Site(cloud, mailbox)


async def until_stopped(owner: Visitor, budget_id: str) -> None:
    async with asyncio.timeout(60):
        while not (await owner.get(f"{BUDGETS}/{budget_id}"))["is_stopping_starts"]:
            pass


async def test_a_spent_budget_stops_starts_and_nothing_that_runs(quick_site: Site) -> None:
    owner = await quick_site.owner()
    name = await owner.namespace()
    below = f"/api/v1/namespaces/{name}"
    wanted = {"name": "small", "namespace": name, "amount": "0.01", "stops_starts": True}
    made = (await owner.post(BUDGETS, wanted))["budget"]
    for number in range(STARTS_OF_A_CENT):
        await owner.post(f"{below}/workflows/order-{number}", ORDER)
    await until_stopped(owner, made["id"])
    refusal = await owner.call("POST", f"{below}/workflows/one-more", ORDER)
    assert refusal.status_code == 402
    told = refusal.json()
    assert told["code"] == 9
    assert "budget 'small' of 0.01 USD" in told["message"]
    assert "raise it" in told["message"]
    (violation,) = told["details"][0]["violations"]
    assert (violation["type"], violation["subject"]) == ("BUDGET", name)

    running = f"{below}/workflows/order-0"
    await owner.post(f"{running}/signal/paid", {})
    again = {**ORDER, "workflowIdConflictPolicy": "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"}
    assert "started" not in await owner.post(running, again)
    signal = f"{below}/workflows/{{}}/signal-with-start/paid"
    assert "started" not in await owner.post(signal.format("order-1"), ORDER)
    unknown = await owner.call("POST", signal.format("nobody"), ORDER)
    assert unknown.status_code == 402
    task = await owner.post(f"{below}/task-queues/q/poll-workflow-task", {"identity": "worker"})
    done = {
        "taskToken": task["taskToken"],
        "commands": [
            {
                "commandType": "COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION",
                "completeWorkflowExecutionCommandAttributes": {},
            }
        ],
    }
    await owner.post(f"{below}/workflow-task-complete", done)

    shown = await owner.get(f"{BUDGETS}/{made['id']}")
    assert shown["is_stopping_starts"]
    assert shown["reached"] == [50, 80, 100]
    raised = {**wanted, "amount": "5.00", "resource_version": shown["resource_version"]}
    told = (await owner.call("PUT", f"{BUDGETS}/{made['id']}", raised)).json()
    assert not told["budget"]["is_stopping_starts"]
    await owner.post(f"{below}/workflows/after-all", ORDER)


async def test_a_foreign_budget_is_missing_and_a_foreign_namespace_too(quick_site: Site) -> None:
    ada, bob = await quick_site.owner(), await quick_site.owner()
    name = await ada.namespace()
    wanted = {"name": "ours", "namespace": name, "amount": "1.00"}
    id = (await ada.post(BUDGETS, wanted))["budget"]["id"]
    assert (await bob.get(BUDGETS))["budgets"] == []
    changed = {**wanted, "resource_version": 1}
    for verb, path, body in (
        ("GET", "", None),
        ("PUT", "", changed),
        ("DELETE", "", None),
        ("POST", "/webhook-test", {}),
        ("POST", "/webhook-secret", {}),
    ):
        for known in (id, "no-such-budget"):
            version = {"resource_version": "1"} if verb == "DELETE" else {}
            refusal = await bob.call(verb, f"{BUDGETS}/{known}{path}", body, **version)
            assert refusal.status_code == 404
            assert refusal.json()["message"] == f"budget {known!r} was not found"
    for known in (name, f"nothing.{ada.account_id}"):
        refusal = await bob.call("POST", BUDGETS, {**wanted, "namespace": known})
        assert refusal.status_code == 404
        assert refusal.json()["message"] == f"namespace {known!r} was not found"


async def test_a_webhooks_secret_is_shown_when_it_is_made_and_never_again(
    quick_site: Site,
) -> None:
    owner = await quick_site.owner()
    wanted = {"name": "told", "amount": "1.00", "webhook_url": "https://hooks.example.com/"}
    made = await owner.post(BUDGETS, wanted)
    secret = made["webhook_secret"]
    assert secret.startswith("whsec_")
    path = f"{BUDGETS}/{made['budget']['id']}"
    again = {**wanted, "resource_version": 1}
    assert (await owner.call("PUT", path, again)).json()["webhook_secret"] == ""
    assert secret not in (await owner.call("GET", BUDGETS)).text
    renewed = (await owner.post(f"{path}/webhook-secret", {}))["webhook_secret"]
    assert renewed != secret
    assert renewed.startswith("whsec_")


async def test_a_webhook_within_our_own_network_is_refused(quick_site: Site) -> None:
    owner = await quick_site.owner()
    for url, status in (("http://hooks.example.com/", 400), ("https://127.0.0.1/", 201)):
        refusal = await owner.call(
            "POST", BUDGETS, {"name": "n", "amount": "1.00", "webhook_url": url}
        )
        assert refusal.status_code == status
    id = refusal.json()["budget"]["id"]
    tested = await owner.post(f"{BUDGETS}/{id}/webhook-test", {})
    assert tested == {
        "is_accepted": False,
        "problem": "it leads to an address that is not public",
    }
    assert (await owner.call("POST", f"{BUDGETS}/{id}/webhook-test", {})).status_code == 429


@pytest.mark.parametrize("granted", ["admin", "worker"])
async def test_a_key_of_narrow_scope_learns_nothing_of_budgets(
    quick_site: Site, granted: str
) -> None:
    owner = await quick_site.owner()
    program = quick_site.program(await owner.key(namespaces={await owner.namespace(): granted}))
    assert (await program.call("GET", BUDGETS)).status_code == 403
    body = {"name": "n", "amount": "1.00"}
    assert (await program.call("POST", BUDGETS, body)).status_code == 403


@pytest.mark.parametrize(
    "given",
    [
        {"amount": "nothing"},
        {"amount": "1e999999999"},
        {"amount": "NaN"},
        {"amount": 10**400},
        {"name": ""},
        {"name": "a\u0000b"},
        {"thresholds": [10**30]},
        {"thresholds": ["half"]},
        {"thresholds": 5},
        {"webhook_url": "https://a\u0000.test/"},
    ],
)
async def test_nonsense_is_refused_by_name(quick_site: Site, given: dict[str, Any]) -> None:
    owner = await quick_site.owner()
    refusal = await owner.call("POST", BUDGETS, {"name": "n", "amount": "1.00", **given})
    assert refusal.status_code == 400
    (field,) = given
    assert field.partition("_")[0].lower() in refusal.text.lower() or "URL" in refusal.text
