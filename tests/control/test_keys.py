from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.control.visitor import LOOKS_MAX, Site

PATH = "/cloud/api-keys"
REVOCATION_SECONDS_MAX = 5


async def test_a_key_is_shown_once(site: Site) -> None:
    owner = await site.owner()
    made = await owner.post(PATH, {"spec": {"displayName": "ci"}, "asyncOperationId": "key-1"})
    again = await owner.post(PATH, {"spec": {"displayName": "ci"}, "asyncOperationId": "key-1"})
    assert made["keyId"] == again["keyId"]
    assert "token" not in again
    listed = await owner.call("GET", PATH)
    assert made["token"] not in listed.text
    (told,) = listed.json()["apiKeys"]
    assert (told["id"], told["spec"]["displayName"]) == (made["keyId"], "ci")


async def test_a_key_ends_when_its_maker_said(site: Site) -> None:
    owner = await site.owner()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    spec = {"displayName": "ci", "expiryTime": tomorrow.isoformat()}
    key_id = (await owner.post(PATH, {"spec": spec}))["keyId"]
    told = (await owner.get(f"{PATH}/{key_id}"))["apiKey"]["spec"]["expiryTime"]
    assert datetime.fromisoformat(told) == tomorrow
    spec["expiryTime"] = (tomorrow - timedelta(days=2)).isoformat()
    assert (await owner.call("POST", PATH, {"spec": spec})).status_code == 400


async def test_a_disabled_key_opens_nothing_until_it_is_enabled(site: Site) -> None:
    owner = await site.owner()
    made = await owner.post(PATH, {"spec": {"displayName": "ci"}})
    program = site.program(made["token"])
    for disabled, status in ((True, 401), (False, 200)):
        read = (await owner.get(f"{PATH}/{made['keyId']}"))["apiKey"]
        spec = {**read["spec"], "disabled": disabled}
        version = read["resourceVersion"]
        await owner.post(f"{PATH}/{made['keyId']}", {"spec": spec, "resourceVersion": version})
        assert (await program.call("GET", PATH)).status_code == status


async def test_a_revoked_key_ends_the_poll_that_is_open(site: Site) -> None:
    owner = await site.owner()
    name = await owner.namespace()
    made = await owner.post(PATH, {"spec": {"displayName": "worker"}})
    polling = asyncio.create_task(
        site.program(made["token"]).call(
            "POST",
            "/temporal.api.workflowservice.v1.WorkflowService/PollWorkflowTaskQueue",
            {"namespace": name, "taskQueue": {"name": "q"}},
        )
    )
    # The cell must know the poller: a poll that came after the revocation would prove nothing.
    for _ in range(LOOKS_MAX):
        if (await owner.get(f"/api/v1/namespaces/{name}/task-queues/q")).get("pollers"):
            break
    else:
        raise AssertionError("the poll did not reach the cell")
    assert not polling.done()
    deleted = await owner.call("DELETE", f"{PATH}/{made['keyId']}")
    assert deleted.status_code == 200
    async with asyncio.timeout(REVOCATION_SECONDS_MAX):
        assert (await polling).status_code == 401
    assert (await site.program(made["token"]).call("GET", PATH)).status_code == 401
    assert (await owner.call("GET", f"{PATH}/{made['keyId']}")).status_code == 404


async def test_a_worker_key_polls_and_does_nothing_else(site: Site) -> None:
    owner = await site.owner()
    name = await owner.namespace()
    worker = site.program(await owner.key(namespaces={name: "worker"}))
    poll = "/temporal.api.workflowservice.v1.WorkflowService/PollWorkflowTaskQueue"
    body = {"namespace": name, "taskQueue": {"name": "q"}}
    polled = await worker.call("POST", poll, body, timeout="0.2")
    assert polled.status_code == 200
    started = await worker.call(
        "POST",
        f"/api/v1/namespaces/{name}/workflows/wf-1",
        {"workflowType": {"name": "hello"}, "taskQueue": {"name": "q"}},
    )
    assert started.status_code == 403
    for path in (PATH, "/cloud/users", "/cloud/usage", "/api/v1/usage/cost"):
        assert (await worker.call("GET", path)).status_code == 403
    identity = await worker.get("/cloud/current-identity")
    assert "spec" not in identity["user"]


async def test_a_key_opens_its_namespaces_and_no_others(site: Site) -> None:
    owner = await site.owner()
    ours, other = await owner.namespace("orders"), await owner.namespace("billing")
    program = site.program(await owner.key(namespaces={ours: "read"}))
    listed = await program.get("/cloud/namespaces")
    assert [each["namespace"] for each in listed["namespaces"]] == [ours]
    assert (await program.call("GET", f"/api/v1/namespaces/{ours}/workflows")).status_code == 200
    assert (await program.call("GET", f"/api/v1/namespaces/{other}/workflows")).status_code == 404


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"account_permission": "admin", "namespaces": {"absent.aaaaaa": "read"}},
        {"account_permission": "owner"},
        {"namespaces": {"absent.aaaaaa": "everything"}},
    ],
)
async def test_a_scope_that_says_nothing_or_too_much_is_refused(
    site: Site, scope: dict[str, object]
) -> None:
    owner = await site.owner()
    refused = await owner.call("POST", "/api/v1/api-keys", {"name": "ci", **scope})
    assert refused.status_code in (400, 404)
    assert (await owner.get(PATH)).get("apiKeys", []) == []


async def test_nobody_makes_a_key_in_anothers_name(site: Site) -> None:
    ada, bob = await site.owner(), await site.owner()
    (user,) = (await bob.get("/cloud/users"))["users"]
    spec = {"displayName": "ci", "ownerId": user["id"]}
    refused = await ada.call("POST", PATH, {"spec": spec})
    assert refused.status_code == 400
    assert "owner_id" in refused.json()["message"]
