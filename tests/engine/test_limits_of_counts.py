"""The limits of how many and how much: of events, of what waits, of what a page holds.

Limits that a test would take long to reach are lowered for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w
from google.protobuf.message import Message
from temporalio.api.command.v1 import Command
from temporalio.api.history.v1 import HistoryEvent

from engine.cell import task_answers
from engine.errors import InvalidArgument, ResourceExhausted
from engine.handlers import get_workflow_execution_history, signal_workflow_execution
from engine.handlers.handler import CELL_SERVICE, TASK_SERVICE, WORKFLOW_SERVICE
from engine.history import closing, workflow_task
from engine.history.commands import activity, timer
from engine.limits import (
    BUFFERED_QUERY_COUNT_MAX,
    FAILURE_BYTES_SHOWN_MAX,
    HISTORY_PAGE_EVENT_COUNT_MAX,
    LOCAL_ACTIVITY_RETRY_COUNT_MAX,
    TASKS_PER_POLL_MAX,
    VISIBILITY_PAGE_SIZE_MAX,
)
from engine.protocol.cell_pb2 import ReadFactsRequest, ReadFactsResponse
from engine.protocol.tasks_pb2 import (
    ListRunSummariesRequest,
    ListRunSummariesResponse,
    ListTaskQueuesRequest,
    ListTaskQueuesResponse,
    PollTasksRequest,
    PollTasksResponse,
)
from tests.engine.bounds import ON_BOTH_SIDES, limit, refused_if
from tests.engine.cell import (
    NAMESPACE_ID,
    QUEUE,
    Cell,
    in_cell,
    names,
    record_marker,
    schedule_activity,
    soon,
    start_timer,
    text,
)
from tests.engine.law import in_memory

FEW = 3
HOUR = timedelta(hours=1)


async def terminated_reason(cell: Cell) -> str:
    last = (await cell.history())[-1]
    return last.workflow_execution_terminated_event_attributes.reason


@limit("HISTORY_EVENT_COUNT_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_history_of_too_many_events_ends_its_run(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    monkeypatch.setattr(closing, "HISTORY_EVENT_COUNT_MAX", 10)
    await cell.start()
    task = await cell.poll()
    # Started, a task's four events, and one for each marker.
    count = 10 - len(await cell.events()) - 1 + beyond
    await cell.complete(task, *(record_marker("seen") for _ in range(count)))
    reason = "history has more than 10 events" if beyond > 0 else ""
    assert await terminated_reason(cell) == reason


@limit("HISTORY_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_history_of_too_many_bytes_ends_its_run_even_without_a_worker(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    await cell.start()
    await cell.signal("first", request_id="a", input=text("x" * 1_000))
    held = (await in_memory(cell.node, NAMESPACE_ID, "order-1")).state.volatile.history_bytes
    await cell.start("order-2")
    bytes_max = held - beyond
    monkeypatch.setattr(closing, "HISTORY_BYTES_MAX", bytes_max)
    await cell.signal("first", "order-2", request_id="a", input=text("x" * 1_000))
    last = (await cell.history("order-2"))[-1]
    reason = f"history has more than {bytes_max} bytes" if beyond > 0 else ""
    assert last.workflow_execution_terminated_event_attributes.reason == reason


@limit("HISTORY_BYTES_MAX")
@in_cell
async def test_results_of_activities_count_as_well(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "HISTORY_BYTES_MAX", 5_000)
    await cell.start()
    await cell.step(schedule_activity("1"), schedule_activity("2"))
    await cell.complete_activity(await cell.poll_activity(), "x" * 5_000)
    assert await terminated_reason(cell) == "history has more than 5000 bytes"


@ON_BOTH_SIDES
@pytest.mark.parametrize("measure", ["EVENT_COUNT", "BYTES"])
@in_cell
async def test_a_worker_is_told_when_to_continue_as_new(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, measure: str, beyond: int
) -> None:
    await cell.start()
    state = (await in_memory(cell.node, NAMESPACE_ID, "order-1")).state
    reached = state.volatile.history_bytes if measure == "BYTES" else state.run.next_event_id
    monkeypatch.setattr(workflow_task, f"HISTORY_{measure}_SUGGEST_CONTINUE", reached - beyond)
    started = (await cell.poll()).history.events[-1].workflow_task_started_event_attributes
    assert started.suggest_continue_as_new == (beyond >= 0)


@limit("HISTORY_PAGE_EVENT_COUNT_MAX")
@ON_BOTH_SIDES
@pytest.mark.parametrize("direction", ["", "Reverse"])
@in_cell
async def test_a_page_of_a_history_has_at_most_its_events(
    cell: Cell, direction: str, beyond: int
) -> None:
    await cell.start()
    await cell.step(*(record_marker("seen") for _ in range(HISTORY_PAGE_EVENT_COUNT_MAX + 10)))
    size = HISTORY_PAGE_EVENT_COUNT_MAX + beyond
    request = getattr(w, f"GetWorkflowExecutionHistory{direction}Request")(maximum_page_size=size)
    request.execution.workflow_id = "order-1"
    events = (await cell.ask(request)).history.events
    assert len(events) == min(size, HISTORY_PAGE_EVENT_COUNT_MAX)


@limit("HISTORY_PAGE_BYTES_MAX")
@in_cell
async def test_a_large_history_comes_in_pages_to_readers_and_to_workers(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_max = 2_000
    for module in (task_answers, get_workflow_execution_history):
        monkeypatch.setattr(module, "HISTORY_PAGE_BYTES_MAX", bytes_max)
    await cell.start()
    for _ in range(20):
        await cell.signal("paid", input=text("x" * 500))
    task = await cell.poll()
    events: list[HistoryEvent] = list(task.history.events)
    request = w.GetWorkflowExecutionHistoryRequest(next_page_token=task.next_page_token)
    request.execution.CopyFrom(task.workflow_execution)
    pages = [task.history]
    while request.next_page_token:
        answer = await cell.ask(request)
        request.next_page_token = answer.next_page_token
        pages.append(answer.history)
        events += answer.history.events
    assert max(page.ByteSize() for page in pages) <= bytes_max
    assert len(pages) > 5
    assert names(events) == await cell.events()


PENDING: list[tuple[Any, str, Callable[[str], Command], str]] = [
    (activity, "PENDING_ACTIVITY_COUNT_MAX", schedule_activity, "PendingActivitiesLimitExceeded"),
    (timer, "PENDING_TIMER_COUNT_MAX", lambda id: start_timer(id, HOUR), "BadStartTimer"),
]


@limit("PENDING_ACTIVITY_COUNT_MAX", "PENDING_TIMER_COUNT_MAX")
@ON_BOTH_SIDES
@pytest.mark.parametrize("pending", PENDING, ids=["activities", "timers"])
@in_cell
async def test_a_run_waits_for_at_most_so_many(
    cell: Cell,
    monkeypatch: pytest.MonkeyPatch,
    pending: tuple[Any, str, Callable[[str], Command], str],
    beyond: int,
) -> None:
    module, name, command, cause = pending
    monkeypatch.setattr(module, name, FEW)
    await cell.start()
    with refused_if(beyond > 0, f"^{cause}.*: more than {FEW} "):
        await cell.step(*(command(str(number)) for number in range(FEW + beyond)))


@limit("SIGNAL_COUNT_MAX")
@in_cell
async def test_a_run_takes_at_most_so_many_signals(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_workflow_execution, "SIGNAL_COUNT_MAX", FEW)
    await cell.start()
    for number in range(FEW):
        await cell.signal("paid", request_id=f"payment-{number}")
    with pytest.raises(InvalidArgument, match=f"^the run has {FEW} signals.*continue as new"):
        await cell.signal("paid")
    await cell.signal("paid", request_id="payment-0")
    assert (await cell.events()).count("WorkflowExecutionSignaled") == FEW


@limit("BUFFERED_EVENT_COUNT_MAX")
@in_cell
async def test_so_many_signals_wait_behind_a_busy_workflow_task(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_workflow_execution, "BUFFERED_EVENT_COUNT_MAX", FEW)
    await cell.start()
    task = await cell.poll()
    for _ in range(FEW):
        await cell.signal("paid")
    with pytest.raises(ResourceExhausted, match=f"{FEW} events wait behind it; signal again later"):
        await cell.signal("paid")
    await cell.complete(task)
    await cell.signal("paid")
    assert (await cell.events()).count("WorkflowExecutionSignaled") == FEW + 1


@limit("BUFFERED_EVENT_BYTES_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_so_many_bytes_wait_behind_a_busy_workflow_task(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    await cell.start()
    await cell.poll()
    await cell.signal("paid", input=text("x" * 1_000))
    held = (await in_memory(cell.node, NAMESPACE_ID, "order-1")).state.buffered_bytes
    monkeypatch.setattr(signal_workflow_execution, "BUFFERED_EVENT_BYTES_MAX", held - beyond)
    # Whatever fills the buffer, or more than that, still got in.
    with refused_if(beyond >= 0, "1 events wait behind it", ResourceExhausted):
        await cell.signal("paid")


@limit("BUFFERED_QUERY_COUNT_MAX")
@in_cell
async def test_so_many_queries_wait_for_one_run(cell: Cell) -> None:
    await cell.start()
    await cell.step()
    waiting = [await soon(cell.query("status")) for _ in range(BUFFERED_QUERY_COUNT_MAX)]
    with pytest.raises(ResourceExhausted, match=f"{BUFFERED_QUERY_COUNT_MAX} queries of this run"):
        await cell.query("status")
    for query in waiting:
        assert not query.done()
        query.cancel()
    await asyncio.sleep(1)
    waiting.append(await soon(cell.query("status")))
    assert not waiting.pop().done()


@limit("LOCAL_ACTIVITY_RETRY_COUNT_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_completion_counts_at_most_so_many_retries_of_local_activities(
    cell: Cell, beyond: int
) -> None:
    await cell.start()
    request = w.RespondWorkflowTaskCompletedRequest(task_token=(await cell.poll()).task_token)
    retries = LOCAL_ACTIVITY_RETRY_COUNT_MAX + beyond
    request.metering_metadata.nonfirst_local_activity_execution_attempts = retries
    await cell.ask(request)
    counted = (await cell.facts())["local_activity_retried"]
    assert counted == min(retries, LOCAL_ACTIVITY_RETRY_COUNT_MAX)


LISTS: list[tuple[str, type[Message], type[Message]]] = [
    (
        WORKFLOW_SERVICE + "ListWorkflowExecutions",
        w.ListWorkflowExecutionsRequest,
        w.ListWorkflowExecutionsResponse,
    ),
    (
        WORKFLOW_SERVICE + "ScanWorkflowExecutions",
        w.ScanWorkflowExecutionsRequest,
        w.ScanWorkflowExecutionsResponse,
    ),
    (TASK_SERVICE + "ListTaskQueues", ListTaskQueuesRequest, ListTaskQueuesResponse),
    (TASK_SERVICE + "ListRunSummaries", ListRunSummariesRequest, ListRunSummariesResponse),
    (CELL_SERVICE + "ReadFacts", ReadFactsRequest, ReadFactsResponse),
]


@limit("VISIBILITY_PAGE_SIZE_MAX")
@ON_BOTH_SIDES
@pytest.mark.parametrize("listing", LISTS, ids=[method.rpartition(".")[2] for method, *_ in LISTS])
@in_cell
async def test_a_page_of_a_list_has_at_most_its_rows(
    cell: Cell, listing: tuple[str, type[Message], type[Message]], beyond: int
) -> None:
    await cell.start()
    method, request, answer = listing
    field = "limit" if request is ReadFactsRequest else "page_size"
    size = VISIBILITY_PAGE_SIZE_MAX + beyond
    must = f"^{field} must be [01] to {VISIBILITY_PAGE_SIZE_MAX}"
    with refused_if(beyond > 0, must):
        await cell.rpc(method, request(**{field: size}), answer)
    with pytest.raises(InvalidArgument, match=must):
        await cell.rpc(method, request(**{field: -1}), answer)


@limit("TASKS_PER_POLL_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_poll_asks_for_at_most_so_many_tasks(cell: Cell, beyond: int) -> None:
    await cell.start()
    request = PollTasksRequest(workflow_task_count_max=1)
    request.activity_task_count_max = TASKS_PER_POLL_MAX - 1 + beyond
    request.task_queue.name = QUEUE
    with refused_if(beyond > 0, f"together must be 1 to {TASKS_PER_POLL_MAX}"):
        answer = await cell.rpc(TASK_SERVICE + "PollTasks", request, PollTasksResponse)
        assert len(answer.workflow_tasks) == 1
    request.ClearField("workflow_task_count_max")
    request.ClearField("activity_task_count_max")
    with pytest.raises(InvalidArgument, match="together must be 1"):
        await cell.rpc(TASK_SERVICE + "PollTasks", request, PollTasksResponse)


@limit("FAILURE_BYTES_SHOWN_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_description_shows_a_short_failure_whole_and_a_long_one_cut(
    cell: Cell, beyond: int
) -> None:
    await cell.start()
    await cell.step(schedule_activity())
    request = w.RespondActivityTaskFailedRequest(task_token=(await cell.poll_activity()).task_token)
    failure = request.failure
    failure.message = "x" * (FAILURE_BYTES_SHOWN_MAX - 100)
    failure.cause.message = "because"
    failure.message += "x" * (FAILURE_BYTES_SHOWN_MAX + beyond - failure.ByteSize())
    assert failure.ByteSize() == FAILURE_BYTES_SHOWN_MAX + beyond
    await cell.ask(request)
    (pending,) = (await cell.describe()).pending_activities
    assert (pending.last_failure == failure) == (beyond <= 0)
    assert pending.last_failure.ByteSize() <= FAILURE_BYTES_SHOWN_MAX
    assert pending.last_failure.message
