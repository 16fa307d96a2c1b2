"""One trace from the client's start through the server to the activity's result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from api.composition import CloudSettings, open_cloud
from api.installation import installation
from api.telemetry import Telemetry as ServerTelemetry
from engine.persistence.memory import MemoryStore
from perdure import Client, Worker, activity, workflow
from perdure.exceptions import ApplicationError, WorkflowFailureError
from perdure.policies import RetryPolicy
from perdure.telemetry import OpenTelemetry
from perdure.transport import Transport
from tests.control.visitor import ADDRESS, Site

QUEUE = "traces"
SOON = timedelta(seconds=10)


@activity.defn
async def greet(name: str) -> str:
    if not name:
        raise ApplicationError("nobody to greet", non_retryable=True)
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, names: list[str]) -> str:
        greeting = await workflow.execute_activity(
            greet,
            names[0],
            start_to_close_timeout=SOON,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
        if names[1:]:
            workflow.continue_as_new(names[1:])
        return greeting


class Spans:
    """What was told to an exporter of a server or of a program."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.processor = SimpleSpanProcessor(self.exporter)

    def named(self, name: str) -> list[ReadableSpan]:
        """In the order in which they began."""
        found = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return sorted(found, key=lambda span: span.start_time or 0)


@pytest.fixture
def server() -> Spans:
    return Spans()


@pytest.fixture
def program() -> Spans:
    return Spans()


@pytest.fixture
def measures() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
async def client(
    tmp_path: Path, server: Spans, program: Spans, measures: InMemoryMetricReader
) -> AsyncIterator[Client]:
    """A program's client; the server tells of its spans apart from it."""
    tracing = TracerProvider()
    tracing.add_span_processor(program.processor)
    telemetry = OpenTelemetry(tracing, MeterProvider([measures]))
    async with open_traced_cloud(tmp_path, server) as site:
        owner = await site.owner()
        transport = Transport(
            ADDRESS,
            api_key=await owner.key(),
            http_transport=httpx.ASGITransport(app=site.cloud.app),
        )
        namespace = await owner.namespace()
        async with Client(transport, namespace, telemetry=telemetry) as client:
            yield client


@asynccontextmanager
async def open_traced_cloud(data: Path, spans: Spans) -> AsyncIterator[Site]:
    telemetry = ServerTelemetry(spans.processor)
    with installation(data) as held:
        async with (
            telemetry.running(),
            open_cloud(held, MemoryStore(), CloudSettings(ADDRESS), telemetry) as cloud,
        ):
            yield Site(cloud)


async def greeted(client: Client, *names: str) -> str:
    """The result, once the worker is gone too: by then all spans have ended."""
    async with Worker(client, task_queue=QUEUE, workflows=[Greeting], activities=[greet]):
        handle = await client.start_workflow(
            Greeting.run, list(names), id="greeting", task_queue=QUEUE
        )
        result: str = await handle.result()
        await handle.query("__stack_trace")
    return result


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    assert span.context is not None
    assert parent.context is not None
    return (
        span.parent is not None
        and span.parent.span_id == parent.context.span_id
        and span.context.trace_id == parent.context.trace_id
    )


async def test_a_start_and_all_that_it_leads_to_are_one_trace(
    client: Client, server: Spans, program: Spans
) -> None:
    assert await greeted(client, "Ada") == "Hello, Ada!"
    [start] = program.named("StartWorkflow:Greeting")
    assert start.parent is None
    assert dict(start.attributes or {}) == {"perdure.workflow_id": "greeting"}
    [accepted] = server.named("StartWorkflowExecution")
    assert is_child(accepted, start)
    # A task that only answers a query completes nothing.
    answers = server.named("RespondWorkflowTaskCompleted")
    first, last = (
        task
        for task in program.named("RunWorkflowTask:Greeting")
        if any(is_child(answer, task) for answer in answers)
    )
    assert is_child(first, start)
    assert is_child(last, start)
    [ran] = program.named("RunActivity:greet")
    assert is_child(ran, first)
    [told] = server.named("RespondActivityTaskCompleted")
    assert is_child(told, ran)
    [scheduled, closed] = answers
    assert is_child(scheduled, first)
    assert is_child(closed, last)


async def test_a_trace_goes_on_into_the_next_run(client: Client, program: Spans) -> None:
    await greeted(client, "Ada", "Bob")
    [start] = program.named("StartWorkflow:Greeting")
    tasks = program.named("RunWorkflowTask:Greeting")
    trace_ids = {span.context.trace_id for span in (start, *tasks) if span.context is not None}
    assert len(trace_ids) == 1
    runs = {str((span.attributes or {})["perdure.run_id"]) for span in tasks}
    assert len(runs) == 2


async def test_a_query_is_a_span_of_its_caller(
    client: Client, server: Spans, program: Spans
) -> None:
    await greeted(client, "Ada")
    [asked] = program.named("QueryWorkflow:__stack_trace")
    [answered] = server.named("QueryWorkflow")
    assert is_child(answered, asked)


@pytest.mark.allow_log("activity_failed")
async def test_a_failure_is_told_by_its_type_alone(
    client: Client, program: Spans, measures: InMemoryMetricReader
) -> None:
    with pytest.raises(WorkflowFailureError):
        await greeted(client, "")
    [ran] = program.named("RunActivity:greet")
    assert ran.status.status_code is StatusCode.ERROR
    assert ran.status.description == "ApplicationError"
    assert "nobody to greet" not in "".join(
        span.to_json() for span in program.exporter.get_finished_spans()
    )
    assert durations(measures) == {
        ("RunWorkflowTask", "Greeting", False): 2,
        ("RunActivity", "greet", True): 1,
    }


async def test_waiting_for_tasks_is_in_no_trace(client: Client, server: Spans) -> None:
    await greeted(client, "Ada")
    polls = [*server.named("PollWorkflowTaskQueue"), *server.named("PollActivityTaskQueue")]
    assert polls
    assert all(poll.parent is None for poll in polls)


def durations(reader: InMemoryMetricReader) -> dict[tuple[object, ...], int]:
    """How many tasks the worker measured, by what they were and whether they failed."""
    metrics_data = reader.get_metrics_data()
    assert metrics_data is not None
    return {
        tuple((point.attributes or {}).values()): point.count
        for resource in metrics_data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if isinstance(point, HistogramDataPoint)
    }
