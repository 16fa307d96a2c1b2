"""The endpoint where a customer's own monitoring reads what its namespaces do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.composition import CloudSettings, open_cloud
from api.installation import installation
from api.metrics import points
from api.metrics.families import FAMILIES, FIELD, LABELS_OF_ALL
from api.metrics.scrape_limits import SCRAPES_AT_ONCE_MAX
from engine import measures
from engine.measures import FOLDED, WINDOW_SECONDS
from engine.persistence.memory import MemoryStore
from tests.control.visitor import ADDRESS, Json, Site, Visitor
from tests.openmetrics import families_of

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
METRICS = "/v1/metrics"
SHORT_POLL = "0.1s"


@dataclass
class Minutes:
    """The clock that is counted by; it moves when a test says so."""

    now: int = 0


@pytest.fixture(scope="module")
def clock() -> Iterator[Minutes]:
    minutes = Minutes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "window_at", lambda monotonic: minutes.now)
        yield minutes


@pytest.fixture
def minutes(clock: Minutes) -> Minutes:
    """In each test a new one, long after what the others did."""
    clock.now += 10
    return clock


@pytest.fixture(scope="module")
async def site(clock: Minutes, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    with installation(tmp_path_factory.mktemp("cloud")) as held:
        async with open_cloud(held, MemoryStore(), CloudSettings(ADDRESS)) as cloud:
            yield Site(cloud)


@dataclass
class Shop:
    """An account with one namespace, and a program of its own in it."""

    owner: Visitor
    program: Visitor
    namespace: str

    async def ask(self, method: str, **request: Any) -> Json:
        body = {"namespace": self.namespace, **request}
        told: Json = await self.program.post(SERVICE + method, body)
        return told

    async def start(self, id: str, *, type: str = "Order", queue: str = "orders") -> None:
        await self.ask(
            "StartWorkflowExecution",
            workflowId=id,
            workflowType={"name": type},
            taskQueue={"name": queue},
        )

    async def schedule(self, *activities: str) -> None:
        """One of each type, by the next workflow task."""
        commands = [
            {
                "commandType": "COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK",
                "scheduleActivityTaskCommandAttributes": {
                    "activityId": type,
                    "activityType": {"name": type},
                    "taskQueue": {"name": "orders"},
                    "startToCloseTimeout": "10s",
                },
            }
            for type in activities
        ]
        task = await self.ask("PollWorkflowTaskQueue", taskQueue={"name": "orders"})
        await self.ask(
            "RespondWorkflowTaskCompleted", taskToken=task["taskToken"], commands=commands
        )

    async def complete_one(self, queue: str = "orders") -> None:
        task = await self.ask("PollWorkflowTaskQueue", taskQueue={"name": queue})
        command = {
            "commandType": "COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION",
            "completeWorkflowExecutionCommandAttributes": {},
        }
        await self.ask(
            "RespondWorkflowTaskCompleted", taskToken=task["taskToken"], commands=[command]
        )

    async def scrape(self, **query: Any) -> Scrape:
        return Scrape.of(await self.program.http.get(METRICS, params=query))


@dataclass
class Scrape:
    """One answer; `series` are (metric without the field's prefix, own labels) and their values."""

    response: httpx.Response
    series: dict[tuple[str, tuple[tuple[str, str], ...]], float]

    @classmethod
    def of(cls, response: httpx.Response) -> Scrape:
        assert response.status_code == 200, response.text
        series = {}
        for family in families_of(response.text):
            assert family.type == "gauge"
            for sample in family.samples:
                own = sorted(it for it in sample.labels.items() if it[0] not in LABELS_OF_ALL)
                series[sample.name.removeprefix(FIELD), tuple(own)] = sample.value
        return cls(response, series)

    def get(self, name: str, **labels: str) -> float | None:
        return self.series.get((name, tuple(sorted(labels.items()))))

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.series}


async def shop_of(site: Site, name: str = "orders") -> Shop:
    owner = await site.owner()
    namespace = await owner.namespace(name)
    return Shop(owner, site.program(await owner.key()), namespace)


def per_second(count: int) -> object:
    return pytest.approx(count / WINDOW_SECONDS)


async def test_a_minute_of_work_is_told_when_it_is_full(site: Site, minutes: Minutes) -> None:
    shop = await shop_of(site)
    for number in range(3):
        await shop.start(f"order-{number}")
    await shop.complete_one()
    await shop.ask("PollActivityTaskQueue?timeout=" + SHORT_POLL, taskQueue={"name": "idle"})
    refused = await shop.program.call(
        "GET", f"/api/v1/namespaces/{shop.namespace}/workflows/missing"
    )
    assert refused.status_code == 404
    # Before the minute is over, of this minute only what is so now.
    assert (await shop.scrape()).names == {
        "approximate_backlog_count",
        "perdure_cloud_v1_approximate_backlog_age_seconds",
        "namespace_open_workflows",
    }
    minutes.now += 1
    told = await shop.scrape()
    starts, missing = {"operation": "StartWorkflowExecution"}, "DescribeWorkflowExecution"
    assert told.get("service_request_count", **starts) == per_second(3)
    assert told.get("service_error_count", **starts) is None
    assert told.get("service_error_count", operation=missing) == per_second(1)
    assert (told.get("service_latency_p99", **starts) or 0) > 0
    assert told.get("service_latency_p99", operation="PollWorkflowTaskQueue") is None
    order = {"temporal_task_queue": "orders", "temporal_workflow_type": "Order"}
    assert told.get("workflow_success_count", **order) == per_second(1)
    assert told.get("workflow_schedule_to_close_latency_p50", temporal_workflow_type="Order")
    action = {"action_type": "start_workflow", "temporal_workflow_type": "Order"}
    assert told.get("billable_action_count", **action) == per_second(3)
    total = {"is_background": "false", "namespace_mode": "active"}
    assert told.get("total_action_count", **total) == per_second(3)
    queue = {"temporal_task_queue": "orders", "task_type": "workflow"}
    polls = {"operation": "PollWorkflowTaskQueue", **queue}
    assert told.get("poll_success_count", **polls) == per_second(1)
    assert told.get("poll_success_sync_count", **polls) is None
    assert told.get("no_poller_tasks_count", **queue) == per_second(3)
    assert told.get("approximate_backlog_count", **queue) == 2
    idle = {"temporal_task_queue": "idle", "task_type": "activity"}
    assert told.get("poll_timeout_count", operation="PollActivityTaskQueue", **idle) == per_second(
        1
    )
    assert told.get("namespace_open_workflows") == 2
    minutes.now += 2
    later = await shop.scrape()
    assert later.get("service_request_count", **starts) is None


async def test_the_answer_is_openmetrics_of_its_own_series_alone(
    site: Site, minutes: Minutes
) -> None:
    shop, rival = await shop_of(site), await shop_of(site)
    await shop.start("order-1")
    await rival.start("canary-id", type="canary-type", queue="canary-queue")
    # What a stranger tries with a namespace counts nowhere: not there, and not at home.
    stolen = await rival.program.call("GET", f"/api/v1/namespaces/{shop.namespace}/workflows")
    assert stolen.status_code == 404
    minutes.now += 1
    told = await shop.scrape(namespaces=["*", rival.namespace, shop.namespace])
    text = told.response.text
    assert text.endswith("# EOF\n")
    assert told.response.headers["content-type"] == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )
    assert told.response.headers["x-completeness"] == "complete"
    assert "canary" not in text
    assert rival.owner.account_id not in text
    assert told.get("service_request_count", operation="ListWorkflowExecutions") is None
    owned = f'temporal_account="{shop.owner.account_id}"'
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert samples
    assert all(owned in line and f'"{shop.namespace}"' in line for line in samples)
    assert "canary-type" in (await rival.scrape()).response.text


async def test_a_key_reads_the_namespaces_that_it_may_read(site: Site, minutes: Minutes) -> None:
    shop = await shop_of(site)
    other = Shop(shop.owner, shop.program, await shop.owner.namespace("other"))
    await shop.start("order-1")
    await other.start("order-1")
    minutes.now += 1
    scopes: list[tuple[Json, set[str] | None]] = [
        ({"account_permission": "read"}, {shop.namespace, other.namespace}),
        ({"namespaces": {other.namespace: "read"}}, {other.namespace}),
        ({"account_permission": "worker"}, None),
        ({"namespaces": {shop.namespace: "worker"}}, None),
    ]
    for scope, readable in scopes:
        program = site.program(await shop.owner.key(**scope))
        answer = await program.http.get(METRICS)
        if readable is None:
            assert answer.status_code == 403
        else:
            found = {
                sample.labels["temporal_namespace"]
                for family in families_of(answer.text)
                for sample in family.samples
            }
            assert found == readable


async def test_without_a_valid_key_nothing_is_told(site: Site) -> None:
    owner = await site.owner()
    assert (await site.stranger().http.get(METRICS)).status_code == 401
    assert (await owner.http.get(METRICS)).status_code == 401
    wrong = site.program("pdk_wrong")
    assert (await wrong.http.get(METRICS)).status_code == 401


async def test_a_scrape_chooses_namespaces_and_metrics(site: Site, minutes: Minutes) -> None:
    shop = await shop_of(site, "prod-orders")
    test = Shop(shop.owner, shop.program, await shop.owner.namespace("test-orders"))
    for each in (shop, test):
        await each.start("order-1")
    minutes.now += 1
    chosen = await shop.scrape(namespaces="prod-*", metrics=f"{FIELD}service_request_count")
    assert chosen.names == {"service_request_count"}
    assert test.namespace not in chosen.response.text
    assert (await shop.scrape(namespaces="nothing-*")).series == {}


async def test_the_type_of_an_activity_is_told_to_who_asks_for_it(
    site: Site, minutes: Minutes
) -> None:
    shop = await shop_of(site)
    await shop.start("order-1")
    await shop.schedule("Charge", "Pack")
    for _ in range(2):
        task = await shop.ask("PollActivityTaskQueue", taskQueue={"name": "orders"})
        await shop.ask("RespondActivityTaskCompleted", taskToken=task["taskToken"])
    minutes.now += 1
    order = {"temporal_task_queue": "orders", "temporal_workflow_type": "Order"}
    told = await shop.scrape(labels="temporal_worker_build_id")
    assert told.get("activity_success_count", **order) == per_second(2)
    for latency in ("activity_start_to_close_latency", "activity_schedule_to_close_latency"):
        assert (told.get(f"{latency}_p50") or 0) > 0
    told = await shop.scrape(labels="temporal_activity_type")
    for type in ("Charge", "Pack"):
        labels = {"temporal_activity_type": type}
        assert told.get("activity_success_count", **order, **labels) == per_second(1)
        assert (told.get("activity_start_to_close_latency_p99", **labels) or 0) > 0
    assert told.get("activity_success_count", **order) is None


async def test_the_largest_series_are_told_and_the_rest_is_added_up(
    site: Site, minutes: Minutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "SERIES_MAX", 2)
    shop = await shop_of(site)
    for type, count in (("A", 3), ("B", 2), ("C", 1), ("D", 1)):
        for number in range(count):
            await shop.start(f"{type}-{number}", type=type)
    minutes.now += 1
    told = await shop.scrape(metrics=f"{FIELD}billable_action_count")
    assert told.response.headers["x-completeness"] == "limited"
    counts = {dict(labels)["temporal_workflow_type"]: it for (_, labels), it in told.series.items()}
    assert counts == {"A": per_second(3), "B": per_second(2), FOLDED: per_second(2)}


async def test_an_account_that_asks_too_often_is_told_when_to_come_again(site: Site) -> None:
    shop, rival = await shop_of(site), await shop_of(site)
    for _ in range(SCRAPES_AT_ONCE_MAX):
        await shop.scrape()
    refused = await shop.program.http.get(METRICS)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    await rival.scrape()


async def test_descriptors_list_every_metric_page_by_page(site: Site) -> None:
    shop = await shop_of(site)
    told = await shop.program.get("/v1/descriptors")
    assert [it["name"] for it in told["descriptors"]] == [family.name for family in FAMILIES]
    assert told["meta"]["pagination"] == {"total": len(FAMILIES), "limit": 100, "offset": 0}
    page = await shop.program.get("/v1/descriptors", limit="1", offset="1")
    assert page["descriptors"] == told["descriptors"][1:2]
    document = await shop.program.get("/api/v1/openapi.json")
    assert {METRICS, "/v1/descriptors", "/api/v1/login"} <= document["paths"].keys()
