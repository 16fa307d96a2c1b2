from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.composition import open_cloud
from api.installation import installation
from api.telemetry import Telemetry
from engine.persistence.memory import MemoryStore
from tests.control.visitor import ADDRESS, Site

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


async def test_a_call_is_one_tree_from_the_callers_span_to_the_cell(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    metrics = InMemoryMetricReader()
    telemetry = Telemetry(SimpleSpanProcessor(spans), metrics)
    with installation(tmp_path) as held:
        async with open_cloud(
            held, MemoryStore(), console_address=ADDRESS, telemetry=telemetry
        ) as cloud:
            owner = await Site(cloud).owner()
            name = await owner.namespace()
            spans.clear()
            owner.http.headers["traceparent"] = f"00-{TRACE_ID}-b7ad6b7169203331-01"
            await owner.post(
                f"/api/v1/namespaces/{name}/workflows/secret-id",
                {"workflowType": {"name": "hello"}, "taskQueue": {"name": "q"}},
            )
    found = {span.name: span for span in spans.get_finished_spans()}
    door, cell = found["StartWorkflowExecution"], found["cell StartWorkflowExecution"]
    assert door.context is not None
    assert cell.parent is not None
    assert cell.parent.span_id == door.context.span_id
    assert f"{door.context.trace_id:032x}" == TRACE_ID
    commit, group = found["commit"], found["group commit"]
    assert cell.context is not None
    assert commit.parent is not None
    assert commit.parent.span_id == cell.context.span_id
    assert [link.context for link in commit.links] == [group.context]
    told = repr([span.to_json() for span in spans.get_finished_spans()])
    assert "secret-id" not in told
    assert "http.server.request.duration" in str(metrics.get_metrics_data())
    telemetry.close()
