"""Namespaces, their quickstart and their keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.web.conftest import ORIGIN, Visitor
from tests.web.fake_cloud import ACCOUNT, NAMESPACE, TOKEN, FakeCloud
from tests.web.histories import execution

HOME = f"/namespaces/{NAMESPACE}"


async def test_the_list_names_every_namespace_and_its_state(user: Visitor) -> None:
    rows = [each.text for each in (await user.page("/namespaces")).all("tr")]
    assert f"{NAMESPACE} Active 30 days" in rows[1]
    assert f"staging.{ACCOUNT} Activating" in rows[2]


async def test_an_account_without_namespaces_is_asked_for_the_first(
    visit: Callable[..., Visitor],
) -> None:
    page = await visit(FakeCloud()).page("/namespaces")
    assert "Create your first namespace" in page.text
    assert not page.all("table")


async def test_a_new_namespace_is_created_live(visit: Callable[..., Visitor]) -> None:
    user = visit(FakeCloud())
    made = await user.post("/namespaces", name="orders", retention_days="7")
    assert made.headers["location"] == HOME
    assert user.cloud.writes == [
        (
            "POST",
            "/cloud/namespaces",
            {"name": "orders", "apiKeyAuth": {"enabled": True}, "retentionDays": 7},
        )
    ]
    creating = await user.page(HOME)
    assert "Creating" in creating.text
    assert creating.one(**{"hx-get": HOME}).attributes["hx-trigger"] == "every 1s"
    assert "Run your first workflow" in (await user.page(HOME)).text


async def test_a_refused_name_stays_in_the_form_beside_the_reason(user: Visitor) -> None:
    response = await user.post("/namespaces", name="Orders", retention_days="x")
    assert response.status_code == 400
    assert "Name: must be small letters; choose another." in response.text
    assert 'value="Orders"' in response.text
    assert 'value="x"' in response.text


async def test_a_namespace_that_cannot_be_made_says_why(
    visit: Callable[..., Visitor],
) -> None:
    cloud = FakeCloud(namespaces={NAMESPACE: "ACTIVATION_FAILED"}, activates=False)
    page = await visit(cloud).page(HOME)
    assert "Activation failed" in page.text
    assert "the cell refused the name" in page.text


async def test_an_unknown_namespace_is_a_page_that_says_so(user: Visitor) -> None:
    page = await user.page("/namespaces/none.zzzzzz", 404)
    assert "was not found" in page.text
    assert "/usage" in page.links(), "who is logged in still is"


async def test_a_namespace_is_deleted_at_the_version_that_was_seen(user: Visitor) -> None:
    form = (await user.page(HOME)).one("form", action=f"{HOME}/delete")
    version = next(form.all("input", name="resource_version")).attributes["value"]
    response = await user.post(f"{HOME}/delete", resource_version=version, confirmation=NAMESPACE)
    assert response.headers["location"] == "/namespaces?notice=deleted"
    assert user.cloud.writes == [
        ("DELETE", f"/cloud/namespaces/{NAMESPACE}", {"resourceVersion": "7"})
    ]
    assert "Nobody can reach" in (await user.page(response.headers["location"])).text


async def test_a_namespace_is_deleted_only_after_its_name_was_typed(user: Visitor) -> None:
    response = await user.post(f"{HOME}/delete", resource_version="7", confirmation="orders")
    assert response.status_code == 400
    assert "Nothing was deleted." in response.text
    assert not user.cloud.writes


async def test_a_namespace_that_is_being_deleted_says_so(visit: Callable[..., Visitor]) -> None:
    page = await visit(FakeCloud(namespaces={NAMESPACE: "DELETING"})).page(HOME)
    assert "what it held is being deleted" in page.text


async def test_the_quickstart_follows_the_first_worker_and_the_first_workflow(
    visit: Callable[..., Visitor],
) -> None:
    cloud = FakeCloud(namespaces={NAMESPACE: "ACTIVE"})
    user = visit(cloud)
    assert "Waiting for a worker" in (await user.page(HOME)).text
    cloud.polled_queues.append("hello")
    page = await user.page(HOME)
    assert "Worker connected on task queue hello" in page.text
    cloud.executions.append(execution("hello-0", "RUNNING"))
    page = await user.page(HOME)
    assert "1 workflow started, none completed yet" in page.text
    assert any("/hello-0/" in link for link in page.links())
    cloud.executions.append(execution("hello-1", "COMPLETED"))
    page = await user.page(HOME)
    assert "Your first workflow completed." in page.text
    assert any(
        link.endswith("/hello-1/" + "019a8f52-6c1e-7d57-9f0e-3b1f4a6d2c10") for link in page.links()
    )


async def test_the_worker_to_copy_has_the_address_the_namespace_and_the_new_key(
    visit: Callable[..., Visitor],
) -> None:
    user = visit(FakeCloud(namespaces={NAMESPACE: "ACTIVE"}))
    before = await user.get(HOME)
    assert "YOUR_API_KEY" in before.text
    response = await user.post(HOME)
    assert response.status_code == 200
    call = f'Client.connect("{ORIGIN}", namespace="{NAMESPACE}", api_key="{TOKEN}", )'
    code = " ".join(response.text.replace("&#34;", '"').split()).replace("( ", "(")
    assert call in code
    assert f"Authorization: Bearer {TOKEN}" in code
    assert "YOUR_API_KEY" not in code


async def test_the_worker_to_copy_is_python(visit: Callable[..., Visitor]) -> None:
    page = await visit(FakeCloud(namespaces={NAMESPACE: "ACTIVE"})).page(HOME)
    panel = page.one(id="panel-python")
    code = next(panel.all("code"))
    compile("".join(str(each) for each in code.children), "worker.py", "exec")


async def test_a_key_is_shown_once(visit: Callable[..., Visitor]) -> None:
    user = visit(FakeCloud(namespaces={NAMESPACE: "ACTIVE"}))
    made = await user.post(
        f"{HOME}/keys", name="billing worker", life_days="365", permission="worker"
    )
    assert made.text.count(TOKEN) == 1
    assert made.headers["cache-control"] == "no-store"
    ((_, _, wanted),) = user.cloud.writes
    assert (wanted["name"], wanted["namespaces"]) == ("billing worker", {NAMESPACE: "worker"})
    life = datetime.fromisoformat(wanted["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=364) < life <= timedelta(days=365)
    assert TOKEN not in (await user.get(f"{HOME}/keys")).text


@pytest.mark.parametrize("page", ["", "/keys"])
async def test_a_namespace_that_is_not_there_has_no_pages(user: Visitor, page: str) -> None:
    home = "/namespaces/missing.acme"
    assert (await user.get(f"{home}{page}")).status_code == 404
    form = {"name": "ci", "life_days": "90", "permission": "write"}
    user.cloud.keys *= 10
    assert (await user.post(f"{home}{page}", **form)).status_code == 404


async def test_a_key_is_revoked_at_the_version_that_was_seen(user: Visitor) -> None:
    page = await user.page(f"{HOME}/keys")
    form = page.one("form", action=f"{HOME}/keys/abcdefghijklmnop/revoke")
    version = next(form.all("input", name="resource_version")).attributes["value"]
    response = await user.post(form.attributes["action"], resource_version=version)
    assert response.headers["location"] == f"{HOME}/keys?notice=revoked"
    assert user.cloud.writes == [
        ("DELETE", "/cloud/api-keys/abcdefghijklmnop", {"resourceVersion": "7"})
    ]
    assert "The key was revoked." in (await user.page(response.headers["location"])).text


async def test_a_refused_key_says_why(user: Visitor) -> None:
    user.cloud.keys *= 10
    response = await user.post(f"{HOME}/keys", name="one more", life_days="90", permission="write")
    assert response.status_code == 429
    assert "at most 10; revoke one." in response.text
