from __future__ import annotations

from typing import Any

import pytest

from tests.control.visitor import Site

PATH = "/cloud/namespaces"


async def test_a_namespace_is_created_by_an_operation_and_can_be_used_at_once(site: Site) -> None:
    owner = await site.owner()
    name = await owner.namespace("orders")
    assert name == f"orders.{owner.account_id}"
    told = (await owner.get(f"{PATH}/{name}"))["namespace"]
    assert told["state"] == "RESOURCE_STATE_ACTIVE"
    assert told["spec"]["retentionDays"] == 7
    program = site.program(await owner.key())
    started = await program.post(
        f"/api/v1/namespaces/{name}/workflows/wf-1",
        {"workflowType": {"name": "hello"}, "taskQueue": {"name": "q"}},
    )
    assert started["runId"]


async def test_a_change_needs_the_version_that_was_read(site: Site) -> None:
    owner = await site.owner()
    name = await owner.namespace()
    read = (await owner.get(f"{PATH}/{name}"))["namespace"]
    spec = {"retentionDays": 30, "searchAttributes": {"City": "SEARCH_ATTRIBUTE_TYPE_KEYWORD"}}
    update = {"spec": spec, "resourceVersion": read["resourceVersion"]}
    changed = await owner.post(f"{PATH}/{name}", update)
    await owner.finished(changed["asyncOperation"])
    assert (await owner.call("POST", f"{PATH}/{name}", update)).status_code == 409
    for version in ("", "x", "²"):
        refused = await owner.call("POST", f"{PATH}/{name}", {**update, "resourceVersion": version})
        assert refused.status_code == 400
        assert "resource_version" in refused.json()["message"]
    told = (await owner.get(f"{PATH}/{name}"))["namespace"]["spec"]
    assert told["retentionDays"] == 30
    assert told["searchAttributes"] == {"City": "SEARCH_ATTRIBUTE_TYPE_KEYWORD"}


async def test_a_deletion_closes_the_door_and_can_be_repeated(site: Site) -> None:
    owner = await site.owner()
    name = await owner.namespace()
    program = site.program(await owner.key())
    version = (await owner.get(f"{PATH}/{name}"))["namespace"]["resourceVersion"]
    asked = {"resourceVersion": version, "asyncOperationId": "delete-1"}
    for _ in range(2):
        answer = await owner.call("DELETE", f"{PATH}/{name}", **asked)
        operation = await owner.finished(answer.json()["asyncOperation"])
        assert (operation["id"], operation["state"]) == ("delete-1", "STATE_FULFILLED")
    assert (await owner.get(PATH)).get("namespaces", []) == []
    assert (await owner.call("GET", f"{PATH}/{name}")).status_code == 404
    listed = await program.call("GET", f"/api/v1/namespaces/{name}/workflows")
    assert listed.status_code == 404


async def test_a_repeated_creation_is_one_operation(site: Site) -> None:
    owner = await site.owner()
    asked = {"spec": {"name": "orders"}, "asyncOperationId": "create-1"}
    first, again = [await owner.post(PATH, asked) for _ in range(2)]
    assert first["asyncOperation"]["id"] == again["asyncOperation"]["id"] == "create-1"
    other = await owner.call("POST", PATH, {**asked, "spec": {"name": "billing"}})
    assert other.status_code == 409


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"name": "Orders"}, "name"),
        ({"name": "orders", "retentionDays": 91}, "retention_days"),
        ({"name": "orders", "retentionDays": -1}, "retention_days"),
        ({"name": "orders", "regions": ["aws-us-east-1"]}, "regions"),
        ({"name": "orders", "apiKeyAuth": {"enabled": False}}, "api_key_auth"),
        ({"name": "orders", "searchAttributes": {"a b": 2}}, "search_attributes"),
        ({"name": "orders", "searchAttributes": {"a": 0}}, "search_attributes"),
        ({"name": "orders", "mtlsAuth": {"enabled": True}}, "accepted_client_ca: is empty"),
        ({"name": "orders", "connectivityRuleIds": ["x"]}, "connectivity_rule_ids: is not offered"),
    ],
)
async def test_what_would_not_be_honoured_is_refused(
    site: Site, spec: dict[str, Any], says: str
) -> None:
    owner = await site.owner()
    answer = await owner.call("POST", PATH, {"spec": spec})
    assert answer.status_code == 400
    assert says in answer.json()["message"]
    assert (await owner.get(PATH)).get("namespaces", []) == []


async def test_another_accounts_namespace_reads_as_one_that_is_missing(site: Site) -> None:
    ada, bob = await site.owner(), await site.owner()
    name = await ada.namespace()
    missing = f"absent.{ada.account_id}"
    for verb, query in (("GET", {}), ("DELETE", {"resourceVersion": "2"})):
        answers = [await bob.call(verb, f"{PATH}/{each}", **query) for each in (name, missing)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].text.replace(name, missing) == answers[1].text


@pytest.mark.parametrize(
    "path", ["/cloud/namespaces/a%00.b", "/cloud/api-keys/%00", "/cloud/operations/%00"]
)
async def test_a_name_that_no_database_can_hold_is_refused(site: Site, path: str) -> None:
    answer = await (await site.owner()).call("GET", path)
    assert (answer.status_code, "NUL" in answer.json()["message"]) == (400, True)


async def test_lists_come_in_pages(site: Site) -> None:
    owner = await site.owner()
    for name in ("cc", "aa", "bb"):
        await owner.post(PATH, {"spec": {"name": name}})
    seen, token = [], ""
    for _ in range(2):
        page = await owner.get(PATH, page_size="2", page_token=token)
        seen += [each["spec"]["name"] for each in page["namespaces"]]
        token, last = page.get("nextPageToken", ""), token
    assert (seen, token) == (["aa", "bb", "cc"], "")
    for caller, path in ((owner, "/cloud/users"), (await site.owner(), PATH)):
        assert (await caller.call("GET", path, page_token=last)).status_code == 400
    assert (await owner.call("GET", PATH, page_token="?")).status_code == 400
    assert (await owner.call("GET", PATH, page_size="1001")).status_code == 400
