"""The one setting that turns telemetry on, and what a collector on the network then gets."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

import pytest

from perdure import Client, Worker, activity, workflow
from perdure.telemetry import OpenTelemetry
from tests.product.client import open_account
from tests.product.otlp import Collector, Told
from tests.product.server import Preloaded, Product, serving

QUEUE = "traced"
PROGRAM = "greeter"
START = "StartWorkflow:Greeting"
LIST = "ListWorkflowExecutions"
FRONTEND, CONTROL_PLANE = "perdure-frontend", "perdure-control-plane"

Path = tuple[tuple[str, str], ...]
"""Spans from the root down, as (service, name)."""


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            greet, name, start_to_close_timeout=timedelta(seconds=10)
        )


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().listening() as collector:
        yield collector


def trees(collector: Collector) -> list[set[Path]]:
    """The paths of each trace."""
    by_trace: dict[bytes, list[Told]] = {}
    for span in collector.spans:
        by_trace.setdefault(span.trace_id, []).append(span)
    return [{Trace(spans).path(span) for span in spans} for spans in by_trace.values()]


def line(*path: tuple[str, str]) -> set[Path]:
    """A tree without branches."""
    return {path[: length + 1] for length in range(len(path))}


async def greeted(product: Product, collector: Collector) -> str:
    """The result of a program that tells the same collector of its work, and has ended."""
    telemetry = OpenTelemetry.to_endpoint(collector.endpoint, service_name=PROGRAM)
    access = await open_account(product)
    async with (
        aclosing(access.owner.http),
        await Client.connect(
            product.address,
            namespace=access.namespace,
            api_key=access.key,
            telemetry=telemetry,
        ) as client,
        Worker(client, task_queue=QUEUE, workflows=[Greeting], activities=[greet]),
    ):
        result: str = await client.execute_workflow(
            Greeting.run, "Ada", id="greeting", task_queue=QUEUE
        )
    telemetry.close()
    return result


class Trace:
    """The spans of one trace, by which spans they are in."""

    def __init__(self, spans: list[Told]) -> None:
        self._by_id = {span.span_id: span for span in spans}
        self.spans = spans

    def path(self, span: Told) -> Path:
        """From the root to the span. Fails for a span whose parent is missing."""
        path = [(span.service, span.name)]
        while span.parent_id:
            span = self._by_id[span.parent_id]
            path.insert(0, (span.service, span.name))
        return tuple(path)


@dataclass(frozen=True)
class Services:
    """Who tells of a call: `hops` from the request to the cell, then whoever commits."""

    arguments: tuple[str, ...]
    door: str
    hops: tuple[str, ...]

    def call(self, method: str) -> Path:
        """From a request to the commit that made what it did durable."""
        cell = self.hops[-1]
        hops = ((hop, f"cell {method}") for hop in self.hops)
        return ((self.door, method), *hops, (cell, "commit"))


ONE_PROCESS = Services((), "perdure", ("perdure",))
PROCESSES = Services(("--processes",), FRONTEND, (FRONTEND, "perdure-cell"))


@pytest.mark.parametrize("services", [ONE_PROCESS, pytest.param(PROCESSES, marks=pytest.mark.ci)])
async def test_one_trace_leads_from_the_start_to_the_disk_and_to_the_worker(
    preloaded: Preloaded, collector: Collector, tmp_path: pathlib.Path, services: Services
) -> None:
    arguments = ("--otlp", collector.endpoint, *services.arguments)
    async with serving(preloaded, tmp_path / "data", *arguments) as product:
        assert await greeted(product, collector) == "Hello, Ada!"
        # Whoever stops in peace sends what is left.
        product.stop()
    [start] = [span for span in collector.spans if span.name == START]
    trace = Trace([span for span in collector.spans if span.trace_id == start.trace_id])
    paths = {trace.path(span) for span in trace.spans}
    assert {path[0] for path in paths} == {(PROGRAM, START)}
    assert expected_paths(services) <= paths
    # A commit is of many traces: from each a link leads to the one that all share.
    commits = {span.span_id for span in collector.spans if span.name == "group commit"}
    links = [span.link_ids for span in trace.spans if span.name == "commit"]
    assert all(len(link) == 1 and link[0] in commits for link in links)
    assert {
        (services.door, "perdure_calls"),
        (services.door, "perdure_call_duration_seconds"),
        (services.door, "perdure_snapshot_age_seconds"),
        (services.hops[-1], "perdure_commit_duration_seconds"),
        (services.hops[-1], "perdure_shards_owned"),
        (PROGRAM, "perdure.worker.task.duration"),
    } <= collector.metrics


def expected_paths(services: Services) -> set[Path]:
    """From the client's start to each commit that it led to."""
    start: Path = ((PROGRAM, START),)
    workflow_task = (*start, (PROGRAM, "RunWorkflowTask:Greeting"))
    activity_task = (*workflow_task, (PROGRAM, "RunActivity:greet"))
    return {
        (*steps, *services.call(method))
        for steps, method in (
            (start, "StartWorkflowExecution"),
            (workflow_task, "RespondWorkflowTaskCompleted"),
            (activity_task, "RespondActivityTaskCompleted"),
        )
    }


@pytest.mark.ci
async def test_what_the_control_plane_answers_is_one_tree_with_the_frontend_and_the_cell(
    preloaded: Preloaded, collector: Collector, tmp_path: pathlib.Path
) -> None:
    arguments = ("--otlp", collector.endpoint, "--processes")
    async with serving(preloaded, tmp_path / "data", *arguments) as product:
        access = await open_account(product)
        async with aclosing(access.owner.http):
            await access.owner.get(f"/cloud/namespaces/{access.namespace}")
            await access.owner.get("/api/v1/usage", namespace=access.namespace)
            workflows = f"/api/v1/namespaces/{access.namespace}/workflows"
            await access.owner.get(workflows)
            page = await access.owner.http.get(
                f"/namespaces/{access.namespace}", headers={"accept": "text/html"}
            )
            assert page.status_code == 200
        product.stop()
    told = trees(collector)
    # Nothing that the control plane or the cell tells of a customer's call stands alone.
    assert {path[0][0] for tree in told for path in tree} == {FRONTEND}
    listing = ((CONTROL_PLANE, LIST), (CONTROL_PLANE, f"cell {LIST}"))
    in_cell = ("perdure-cell", f"cell {LIST}")
    assert line((FRONTEND, "GetNamespace"), (CONTROL_PLANE, "GetNamespace")) in told
    assert line((FRONTEND, "GET"), (CONTROL_PLANE, "GET /api/v1/usage")) in told
    assert line((FRONTEND, LIST), *listing, in_cell) in told
    shown = (FRONTEND, "GET"), (CONTROL_PLANE, "GET /namespaces/{namespace}"), listing[1], in_cell
    assert any(line(*shown) <= tree for tree in told)


async def test_without_the_setting_nothing_is_told(product: Product, collector: Collector) -> None:
    assert await greeted(product, collector) == "Hello, Ada!"
    product.stop()
    assert {span.service for span in collector.spans} == {PROGRAM}
    assert {service for service, _ in collector.metrics} == {PROGRAM}
