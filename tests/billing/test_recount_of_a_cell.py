"""A cell's facts, as billing collects them, equal the recount of its public answers in JSON."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import temporalio.api.workflowservice.v1 as w
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import IndexedValueType, QueryResultType

from api.transports.json_codec import JsonCodec
from billing.actions import ACTIONS
from billing.facts import FactRow, UsageKey, count_actions
from engine.handlers.handler import CELL_SERVICE, TASK_SERVICE
from engine.protocol.cell_pb2 import (
    PutNamespaceRequest,
    PutNamespaceResponse,
    ReadFactsRequest,
    ReadFactsResponse,
)
from engine.protocol.tasks_pb2 import ListRunSummariesRequest, ListRunSummariesResponse
from perdure.recount import recount
from tests.engine.cell import (
    NAMESPACE_ID,
    Cell,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    in_cell,
    record_marker,
    schedule_activity,
    soon,
    start_timer,
    text,
    upsert_search_attribute,
)
from tests.engine.chain import due

MINUTE = timedelta(minutes=1)
NAMESPACE = "shop.acme"
ROOT = f"/api/v1/namespaces/{NAMESPACE}"
ANSWERED = QueryResultType.QUERY_RESULT_TYPE_ANSWERED
PAGE_SIZE = 2
CODEC = JsonCodec()


class Door:
    """The public answers of a cell as JSON, in small pages, and its usage."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    async def get(self, path: str, params: Mapping[str, str]) -> Any:
        token = base64.b64decode(params.get("nextPageToken", ""))
        if path == "/api/v1/usage":
            return {"usage": [_row(key, count) for key, count in (await self.usage()).items()]}
        if path == f"{ROOT}/run-summaries":
            summaries = ListRunSummariesRequest(page_size=PAGE_SIZE, next_page_token=token)
            method = TASK_SERVICE + "ListRunSummaries"
            return _json(await self._cell.rpc(method, summaries, ListRunSummariesResponse))
        if path == f"{ROOT}/workflows":
            runs = w.ListWorkflowExecutionsRequest(page_size=PAGE_SIZE, next_page_token=token)
            return _json(await self._cell.ask(runs))
        workflow_id = unquote(path.removeprefix(f"{ROOT}/workflows/").removesuffix("/history"))
        history = w.GetWorkflowExecutionHistoryRequest(
            maximum_page_size=PAGE_SIZE, next_page_token=token
        )
        history.execution.workflow_id = workflow_id
        history.execution.run_id = params["execution.runId"]
        return _json(await self._cell.ask(history))

    async def usage(self) -> Counter[UsageKey]:
        request = ReadFactsRequest(limit=1_000)
        facts = await self._cell.rpc(CELL_SERVICE + "ReadFacts", request, ReadFactsResponse)
        counts: Counter[UsageKey] = Counter()
        for row in facts.rows:
            place = (row.shard_id, row.sequence, row.position)
            counts.update(count_actions(FactRow("cell-a", *place, row.blob)))
        return counts


def _json(message: Any) -> Any:
    return CODEC.to_dict(message)


def _row(key: UsageKey, count: int) -> dict[str, Any]:
    return {
        "hour": key.hour,
        "action": key.action,
        "workflow_type": key.workflow_type,
        "task_queue": key.task_queue,
        "count": count,
    }


@in_cell
async def test_everything_a_cell_meters_is_found_again_in_what_it_shows(cell: Cell) -> None:
    await add_search_attribute(cell)
    await run_order_1(cell)
    await cell.crash_and_restart()
    await run_others(cell)
    await run_chain(cell)
    usage = await Door(cell).usage()
    assert {key.action for key in usage} == {action.name for action in ACTIONS}
    assert len({key.hour for key in usage}) > 1
    outcome = await recount(Door(cell).get, NAMESPACE)
    assert outcome.differences == ()
    assert outcome.recounted == usage.total()


async def add_search_attribute(cell: Cell) -> None:
    request = PutNamespaceRequest(id=NAMESPACE_ID, name=NAMESPACE)
    request.workflow_execution_retention.FromTimedelta(timedelta(days=7))
    request.search_attributes["City"] = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    await cell.rpc(CELL_SERVICE + "PutNamespace", request, PutNamespaceResponse)


async def run_order_1(cell: Cell) -> None:
    """A run that does everything once or more, and a run that it continues as."""
    await cell.start(request_id="start-1")
    await cell.start(request_id="start-1")
    await cell.step(
        schedule_activity(heartbeat=MINUTE, start_to_close=5 * MINUTE),
        start_timer("soon", MINUTE),
        start_timer("late", 90 * MINUTE),
        record_marker("SideEffect"),
        record_marker("SideEffect"),
        record_marker("core_patch"),
        upsert_search_attribute("City", "Ulm"),
        metering_metadata={"nonfirst_local_activity_execution_attempts": 3},
    )
    await attempt_activity(cell)
    await cell.signal("pay", request_id="pay-1")
    await cell.signal("pay", request_id="pay-1")
    held = await cell.poll()
    await signal_with_start(cell, "order-1")
    await cell.signal("ship", request_id="ship-1")
    await cell.complete(held, force_create_new_workflow_task=True)
    await cell.step()
    await query(cell)
    await asyncio.sleep((90 * MINUTE).total_seconds())
    held = await cell.poll()
    await cell.signal("more", request_id="more-1")
    await cell.complete(held, continue_as_new())
    await cell.step(complete_workflow())
    await query(cell)


async def run_others(cell: Cell) -> None:
    """Runs that begin with a signal, with a delay, with both, and one that nobody works on."""
    await signal_with_start(cell, "order/2")
    await cell.step(record_marker("Version"), complete_workflow())
    await cell.start("order-3", workflow_start_delay=MINUTE)
    # Simulated time stands still between calls, and only time tells this signal from the start's.
    await asyncio.sleep(1)
    await cell.signal("hurry", "order-3")
    await signal_with_start(cell, "order-4", workflow_start_delay=MINUTE)
    await cell.terminate("order-4")
    await signal_with_start(cell, "order-3")
    await cell.start("order-5")
    await cell.terminate("order-5")


async def run_chain(cell: Cell) -> None:
    """A cron workflow, one of whose runs is tried again; a signal comes before its next run."""
    await cell.start("order-6", cron_schedule="@hourly", retry_policy=RetryPolicy())
    await due(cell, fail_workflow())
    await due(cell, complete_workflow())
    await cell.signal("hurry", "order-6")
    await due(cell, complete_workflow())
    await cell.terminate("order-6")


async def attempt_activity(cell: Cell) -> None:
    """Two attempts with heartbeats, then success."""
    task = await cell.poll_activity()
    await cell.ask(w.RecordActivityTaskHeartbeatRequest(task_token=task.task_token))
    await cell.ask(w.RecordActivityTaskHeartbeatRequest(task_token=task.task_token))
    by_id = w.RecordActivityTaskHeartbeatByIdRequest(
        workflow_id="order-1", run_id=task.workflow_execution.run_id, activity_id=task.activity_id
    )
    await cell.ask(by_id)
    await cell.fail_activity(task)
    await cell.fail_activity(await cell.poll_activity())
    await cell.complete_activity(await cell.poll_activity())


async def query(cell: Cell) -> None:
    asked = await soon(cell.query("status"))
    task = await cell.poll()
    await cell.ask(
        w.RespondQueryTaskCompletedRequest(
            task_token=task.task_token, completed_type=ANSWERED, query_result=text("packed")
        )
    )
    await asked


async def signal_with_start(cell: Cell, workflow_id: str, **fields: Any) -> None:
    request = w.SignalWithStartWorkflowExecutionRequest(
        workflow_id=workflow_id, signal_name="pay", **fields
    )
    request.workflow_type.name = "Order"
    request.task_queue.name = "orders"
    await cell.ask(request)
