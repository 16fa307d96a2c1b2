from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind

from api.composition import CloudSettings, open_cloud
from api.installation import installation
from api.telemetry import Telemetry
from engine.persistence.memory import MemoryStore
from tests.control.visitor import ADDRESS, Site

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


@pytest.fixture
async def spans(tmp_path: Path) -> list[ReadableSpan]:
    """What a start in the trace of its caller leaves behind."""
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(SimpleSpanProcessor(exporter))
    with installation(tmp_path) as held:
        async with (
            telemetry.running(),
            open_cloud(held, MemoryStore(), CloudSettings(ADDRESS), telemetry) as cloud,
        ):
            owner = await Site(cloud).owner()
            name = await owner.namespace()
            exporter.clear()
            owner.http.headers["traceparent"] = f"00-{TRACE_ID}-{CALLER}-01"
            await owner.post(
                f"/api/v1/namespaces/{name}/workflows/secret-id",
                {"workflowType": {"name": "hello"}, "taskQueue": {"name": "q"}},
            )
            await owner.http.aclose()
    return list(exporter.get_finished_spans())


async def test_a_call_is_one_tree_from_the_callers_span_to_the_commit(
    spans: list[ReadableSpan],
) -> None:
    found = {span.name: span for span in spans}
    door, cell, commit = (
        found[name] for name in ("StartWorkflowExecution", "cell StartWorkflowExecution", "commit")
    )
    assert f"{context_of(door).trace_id:032x}" == TRACE_ID
    assert [parent_id(span) for span in (door, cell, commit)] == [
        CALLER,
        span_id(door),
        span_id(cell),
    ]
    assert [span.kind for span in (door, cell)] == [SpanKind.SERVER, SpanKind.INTERNAL]
    assert [link.context for link in commit.links] == [context_of(found["group commit"])]


async def test_what_nobody_asked_for_is_no_trace(spans: list[ReadableSpan]) -> None:
    assert {span.name for span in spans if span.parent is None} == {"group commit"}


async def test_spans_say_nothing_that_a_customer_wrote(spans: list[ReadableSpan]) -> None:
    told = repr([span.to_json() for span in spans])
    assert "secret-id" not in told
    assert "hello" not in told


def context_of(span: ReadableSpan) -> SpanContext:
    context: SpanContext | None = span.context
    assert context is not None
    return context


def span_id(span: ReadableSpan) -> str:
    return f"{context_of(span).span_id:016x}"


def parent_id(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.span_id:016x}"
