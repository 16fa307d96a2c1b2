from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.control.usage import HOUR_MIN, SERIES_HOURS_MAX
from tests.control.visitor import Site, Visitor

COST = "/api/v1/usage/cost"
SERIES = "/api/v1/usage/series"


async def counted(visitor: Visitor, actions: int) -> Any:
    """The month's cost once that many Actions are collected."""
    async with asyncio.timeout(20):
        while True:
            told = await visitor.get(COST)
            if told["actions"] >= actions:
                return told
            await asyncio.sleep(0)


async def test_a_start_is_one_action_on_the_bill_and_in_the_ledger(site: Site) -> None:
    owner = await site.owner()
    name = await owner.namespace()
    await owner.post(
        f"/api/v1/namespaces/{name}/workflows/wf-1",
        {"workflowType": {"name": "hello"}, "taskQueue": {"name": "q"}},
    )
    told = await counted(owner, 1)
    assert told["actions"] == 1
    (share,) = told["by_namespace"]
    assert (share["name"], share["cost"]) == (name, "0.00005000")
    (cell,) = told["by_namespace_and_action"]
    assert (cell["namespace"], cell["action"], cell["cost"]) == (
        name,
        "start_workflow",
        share["cost"],
    )
    (row,) = (await owner.get("/api/v1/usage", namespace=name))["usage"]
    assert (row["action"], row["workflow_type"], row["task_queue"], row["count"]) == (
        "start_workflow",
        "hello",
        "q",
        1,
    )
    (summary,) = (await owner.get("/cloud/usage"))["summaries"]
    (group,) = summary["recordGroups"]
    assert summary["incomplete"]
    assert group["groupBys"][0]["value"] == name
    assert group["records"][0]["value"] == 1.0


@pytest.mark.parametrize(
    ("group_by", "key"),
    [("action", "start_workflow"), ("workflow_type", "hello"), ("task_queue", "q")],
)
async def test_a_series_tells_the_hours_that_have_usage(
    site: Site, group_by: str, key: str
) -> None:
    owner = await site.owner()
    name = await owner.namespace()
    await owner.post(
        f"/api/v1/namespaces/{name}/workflows/wf-1",
        {"workflowType": {"name": "hello"}, "taskQueue": {"name": "q"}},
    )
    await counted(owner, 1)
    (row,) = (await owner.get("/api/v1/usage", namespace=name))["usage"]
    hours = {"from": str(row["hour"]), "to": str(row["hour"] + 1)}
    (point,) = (await owner.get(SERIES, **hours))["points"]
    assert (point["hour"], point["name"], point["actions"]) == (row["hour"], name, 1)
    (point,) = (await owner.get(SERIES, **hours, group_by=group_by))["points"]
    assert (point["key"], point["name"], point["cost"]) == (key, key, "0.00005000")


@pytest.mark.parametrize(
    ("hours", "status"),
    [
        (-1, 400),
        (0, 200),
        (SERIES_HOURS_MAX - 1, 200),
        (SERIES_HOURS_MAX, 200),
        (SERIES_HOURS_MAX + 1, 400),
    ],
)
async def test_a_series_has_a_most_of_hours(site: Site, hours: int, status: int) -> None:
    owner = await site.owner()
    start = HOUR_MIN + 100
    asked = {"from": str(start), "to": str(start + hours)}
    assert (await owner.call("GET", SERIES, **asked)).status_code == status


async def test_another_accounts_usage_does_not_exist(site: Site) -> None:
    ada, bob = await site.owner(), await site.owner()
    name = await ada.namespace()
    assert (await bob.call("GET", "/api/v1/usage", namespace=name)).status_code == 404
    assert (await bob.get(COST))["actions"] == 0


async def test_a_key_of_narrow_scope_learns_nothing_of_the_bill(site: Site) -> None:
    owner = await site.owner()
    scope = {await owner.namespace(): "admin"}
    program = site.program(await owner.key(namespaces=scope))
    for path in (COST, "/cloud/usage"):
        assert (await program.call("GET", path)).status_code == 403


async def test_a_worker_is_not_told_what_its_account_pays(site: Site) -> None:
    owner = await site.owner()
    key = await owner.key(namespaces={await owner.namespace(): "worker"})
    hours = {"from": str(HOUR_MIN), "to": str(HOUR_MIN + 1)}
    assert (await site.program(key).call("GET", COST)).status_code == 403
    assert (await site.program(key).call("GET", SERIES, **hours)).status_code == 403


@pytest.mark.parametrize("month", ["2026", "2026-13", "2099-01", "2025-12"])
async def test_a_month_that_is_none_is_refused(site: Site, month: str) -> None:
    owner = await site.owner()
    refused = await owner.call("GET", COST, month=month)
    assert refused.status_code == 400
    assert "month" in refused.json()["message"]


async def test_an_earlier_month_is_told_whole(site: Site) -> None:
    owner = await site.owner()
    told = await owner.get(COST, month="2026-01")
    assert (told["period_start"], told["as_of"]) == (
        "2026-01-01T00:00:00Z",
        "2026-01-31T23:59:59.999999Z",
    )


@pytest.mark.parametrize(
    "query",
    [
        {"startTimeInclusive": "2026-01-01T01:00:00Z"},
        {"startTimeInclusive": "2000-01-01T00:00:00Z"},
        {"endTimeExclusive": "2000-01-01T00:00:00Z"},
    ],
)
async def test_usage_is_told_by_whole_days_of_the_last_ninety(
    site: Site, query: dict[str, str]
) -> None:
    owner = await site.owner()
    assert (await owner.call("GET", "/cloud/usage", **query)).status_code == 400


async def test_the_ledger_is_read_page_by_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await site.owner()
    name = await owner.namespace()
    for number in range(3):
        body = {"workflowType": {"name": f"Type{number}"}, "taskQueue": {"name": "q"}}
        await owner.post(f"/api/v1/namespaces/{name}/workflows/wf-{number}", body)
    await counted(owner, 3)
    monkeypatch.setattr("api.control.usage.ROWS_PER_PAGE", 2)
    first = await owner.get("/api/v1/usage", namespace=name)
    token = first["next_page_token"]
    second = await owner.get("/api/v1/usage", namespace=name, next_page_token=token)
    read = [row["workflow_type"] for row in (*first["usage"], *second["usage"])]
    assert (read, second["next_page_token"]) == (["Type0", "Type1", "Type2"], "")
    other = await owner.namespace("billing")
    moved = await owner.call("GET", "/api/v1/usage", namespace=other, next_page_token=token)
    assert moved.status_code == 400


@pytest.mark.parametrize("path", ["/api/v1/usage", "/api/v1/invoices", "/api/v1/session"])
async def test_a_parameter_that_a_route_does_not_have_is_refused_by_name(
    site: Site, path: str
) -> None:
    """Else a pager that misspells its token would read the first page for ever."""
    owner = await site.owner()
    query = {"namespace": await owner.namespace()} if path.endswith("usage") else {}
    # The door's own parameters are everywhere.
    await owner.get(path, **query, noPayloadShorthand="true", pretty="true")
    refused = await owner.call("GET", path, **query, nextPageToken="x")
    assert refused.status_code == 400
    (detail,) = refused.json()["details"]
    assert detail["fieldViolations"][0]["field"] == "nextPageToken"


async def test_who_may_not_call_a_route_is_not_told_its_parameters(site: Site) -> None:
    answer = await site.stranger().call("GET", "/api/v1/invoices", colour="red")
    assert answer.status_code == 401


@pytest.mark.parametrize("token", ["x", "1000", "W10=", "WzEsMiwzLDRd", "WyIxIiwiYSIsImIiLCJjIl0="])
async def test_a_page_token_of_somebody_elses_making_is_refused(site: Site, token: str) -> None:
    owner = await site.owner()
    name = await owner.namespace()
    refused = await owner.call("GET", "/api/v1/usage", namespace=name, next_page_token=token)
    assert refused.status_code == 400
    assert "next_page_token" in refused.json()["message"]
