"""Traces are off until somebody asks, and what others wrote into a header does no harm."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from base64 import b64decode, b64encode
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, TraceFlags

from perdure import Worker, workflow
from perdure.client import Client
from perdure.exceptions import DefinitionError
from perdure.telemetry import HEADER, OpenTelemetry
from tests.product.otlp import Collector
from tests.sdk.door import Door
from tests.sdk.worked_run import WorkedRun

ENDPOINT = "http://127.0.0.1:4318"
TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0xB7AD6B7169203331


@workflow.defn
class Empty:
    @workflow.run
    async def run(self) -> None:
        return None


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(spans: InMemorySpanExporter) -> OpenTelemetry:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return OpenTelemetry(provider)


async def start(door: Door, **options: Any) -> dict[str, Any]:
    """The request of a start."""
    async with door.client() as quiet:
        client = Client(quiet.transport, "default", **options)
        await client.start_workflow(Empty.run, id="empty", task_queue="queue")
    return await door.called("StartWorkflowExecution")


async def test_nothing_is_told_unless_asked_for() -> None:
    door = Door()
    request = await start(door)
    assert "header" not in request
    assert "traceparent" not in door.requests[0].headers


async def test_a_start_carries_its_trace_twice(
    traced: OpenTelemetry, spans: InMemorySpanExporter
) -> None:
    door = Door()
    request = await start(door, telemetry=traced)
    [span] = spans.get_finished_spans()
    assert span.context is not None
    traceparent = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}"
    sent = door.requests[0].headers["traceparent"]
    assert sent.startswith(traceparent)
    written = b64decode(request["header"]["fields"][HEADER]["data"])
    assert json.loads(written) == {"traceparent": sent}


def test_without_the_package_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = [each for each in sys.modules if each.startswith("opentelemetry.")]
    for name in ("opentelemetry", *loaded):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DefinitionError, match="opentelemetry-api"):
        OpenTelemetry()
    with pytest.raises(DefinitionError, match=r"install perdure\[otlp\]"):
        OpenTelemetry.to_endpoint(ENDPOINT)


@pytest.mark.parametrize("url", ["", "collector:4318", "grpc://collector:4317"])
def test_a_collector_is_named_by_a_url(url: str) -> None:
    with pytest.raises(DefinitionError, match=r"is no URL of a collector, such as http://"):
        OpenTelemetry.to_endpoint(url)


def test_a_program_that_ends_sends_what_it_has_not_sent_yet() -> None:
    with Collector().listening() as collector:
        program = textwrap.dedent(f"""
            from perdure.telemetry import OpenTelemetry
            telemetry = OpenTelemetry.to_endpoint("{collector.endpoint}/", service_name="orders")
            with telemetry.working("RunActivity", "greet", {{}}, {{}}):
                pass
        """)
        subprocess.run([sys.executable, "-c", program], check=True)
    assert [(span.service, span.name) for span in collector.spans] == [
        ("orders", "RunActivity:greet")
    ]
    assert collector.metrics == {("orders", "perdure.worker.task.duration")}


def test_a_client_that_tells_nothing_loads_nothing_of_opentelemetry() -> None:
    program = """
        import sys
        from perdure import Client, Worker
        import perdure.telemetry
        assert not [name for name in sys.modules if name.startswith("opentelemetry")]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


@pytest.mark.parametrize(
    ("data", "parent"),
    [
        (f'{{"traceparent": "00-{TRACE_ID:032x}-{SPAN_ID:016x}-01"}}', SPAN_ID),
        ('{"traceparent": 7}', None),
        ('{"traceparent": "nonsense"}', None),
        ('["traceparent"]', None),
        ("no JSON", None),
    ],
)
def test_a_header_of_others_is_read_if_it_can_be(
    traced: OpenTelemetry, spans: InMemorySpanExporter, data: str, parent: int | None
) -> None:
    header = {HEADER: {"metadata": {}, "data": b64encode(data.encode()).decode()}}
    with traced.working("RunActivity", "greet", header, {}):
        pass
    [span] = spans.get_finished_spans()
    expected = parent and SpanContext(TRACE_ID, parent, is_remote=True, trace_flags=TraceFlags(1))
    assert span.parent == expected


async def test_a_task_without_a_trace_begins_its_own(
    traced: OpenTelemetry, spans: InMemorySpanExporter
) -> None:
    door = Door()
    run = WorkedRun(door, Empty)
    async with door.client() as quiet:
        client = Client(quiet.transport, "default", telemetry=traced)
        with traced.calling("StartWorkflow", "Other", "other"):
            async with Worker(client, task_queue="queue", workflows=[Empty]):
                await run.works()
    task = next(span for span in spans.get_finished_spans() if span.name == "RunWorkflowTask:Empty")
    assert task.parent is None
    polls = [request for request in door.requests if "poll-workflow-task" in request.url.path]
    assert polls
    assert not any("traceparent" in poll.headers for poll in polls)
