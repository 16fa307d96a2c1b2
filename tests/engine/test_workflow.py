"""Workflows as their clients and workers see them."""

from __future__ import annotations

from datetime import timedelta

import pytest
import temporalio.api.operatorservice.v1 as o
import temporalio.api.workflowservice.v1 as w
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import (
    IndexedValueType,
    WorkflowExecutionStatus,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)

from engine.errors import InvalidArgument, NotFound, WorkflowAlreadyStarted
from engine.handlers.handler import OPERATOR_SERVICE
from tests.engine.cell import (
    Cell,
    cancel_timer,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    in_cell,
    names,
    record_marker,
    schedule_activity,
    soon,
    start_timer,
    text,
    upsert_search_attribute,
)

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD


@in_cell
async def test_a_workflow_runs_an_activity_and_completes(cell: Cell) -> None:
    await cell.start(input=text("book"))
    await cell.step(schedule_activity())
    await cell.complete_activity(await cell.poll_activity(), "charged")
    task = await cell.step(complete_workflow())
    assert names(task.history.events)[-3:] == [
        "ActivityTaskCompleted",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
    ]
    assert await cell.events() == [
        "WorkflowExecutionStarted",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskCompleted",
        "ActivityTaskScheduled",
        "ActivityTaskStarted",
        "ActivityTaskCompleted",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskCompleted",
        "WorkflowExecutionCompleted",
    ]
    close = await cell.close_event()
    assert close.workflow_execution_completed_event_attributes.result == text("shipped")


@in_cell
async def test_a_client_waits_for_the_close_of_a_workflow(cell: Cell) -> None:
    await cell.start()
    waiting = await soon(cell.close_event())
    await cell.step(fail_workflow("no stock"))
    event = await waiting
    assert event.workflow_execution_failed_event_attributes.failure.message == "no stock"


@in_cell
async def test_a_timer_fires_no_sooner_than_thirty_days_later(cell: Cell) -> None:
    await cell.start()
    began = cell.loop.time()
    await cell.step(start_timer("renewal", timedelta(days=30)))
    await cell.sleep_without_node(timedelta(days=30) - timedelta(minutes=5))
    task = await cell.poll()
    while not task.task_token:
        task = await cell.poll()
    waited = cell.loop.time() - began
    assert 0 <= waited - timedelta(days=30).total_seconds() < 1
    assert "TimerFired" in names(task.history.events)


@in_cell
async def test_a_cancelled_timer_does_not_fire(cell: Cell) -> None:
    await cell.start()
    await cell.step(start_timer("reminder", timedelta(hours=1)))
    await cell.signal("paid")
    await cell.step(cancel_timer("reminder"))
    cell.timeout_seconds = 2 * 3600
    assert not (await cell.poll()).task_token
    assert "TimerCanceled" in await cell.events()
    assert "TimerFired" not in await cell.events()


@in_cell
async def test_a_signal_during_a_workflow_task_is_seen_by_the_next_one(cell: Cell) -> None:
    await cell.start()
    task = await cell.poll()
    await cell.signal("paid", input=text("now"))
    await cell.complete(task, record_marker("seen"))
    assert (await cell.events())[3:] == [
        "WorkflowTaskCompleted",
        "MarkerRecorded",
        "WorkflowExecutionSignaled",
        "WorkflowTaskScheduled",
    ]


@in_cell
async def test_a_workflow_cannot_close_before_it_has_seen_a_signal(cell: Cell) -> None:
    await cell.start()
    task = await cell.poll()
    await cell.signal("paid")
    with pytest.raises(InvalidArgument, match=r"^UnhandledCommand$"):
        await cell.complete(task, complete_workflow())
    assert (await cell.events())[3:] == [
        "WorkflowTaskFailed",
        "WorkflowExecutionSignaled",
        "WorkflowTaskScheduled",
    ]
    await cell.step(complete_workflow())
    assert (await cell.events())[-1] == "WorkflowExecutionCompleted"


@in_cell
async def test_a_signal_with_a_known_request_id_is_recorded_once(cell: Cell) -> None:
    await cell.start()
    for _ in range(2):
        await cell.signal("paid", request_id="payment-7")
    assert (await cell.events()).count("WorkflowExecutionSignaled") == 1


@in_cell
async def test_request_ids_of_two_namespaces_do_not_meet(cell: Cell) -> None:
    await cell.put_namespace("other")
    run_id = await cell.start(request_id="same")
    request = w.StartWorkflowExecutionRequest(workflow_id="order-1", request_id="same")
    request.workflow_type.name, request.task_queue.name = "Order", "orders"
    other = await cell.ask(request, "other")
    assert other.run_id != run_id


@in_cell
async def test_starting_again_with_the_same_request_id_gives_the_same_run(cell: Cell) -> None:
    first = await cell.start(request_id="once")
    again = await cell.start_answer(request_id="once")
    assert (again.run_id, again.started) == (first, True)


@in_cell
async def test_a_second_start_of_an_open_workflow_is_refused(cell: Cell) -> None:
    run_id = await cell.start()
    with pytest.raises(WorkflowAlreadyStarted) as refusal:
        await cell.start()
    assert refusal.value.run_id == run_id


@in_cell
async def test_a_start_may_use_the_open_run(cell: Cell) -> None:
    run_id = await cell.start()
    policy = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
    answer = await cell.start_answer(workflow_id_conflict_policy=policy)
    assert (answer.run_id, answer.started) == (run_id, False)


@in_cell
async def test_a_start_may_terminate_the_open_run(cell: Cell) -> None:
    old = await cell.start()
    policy = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    new = await cell.start(workflow_id_conflict_policy=policy)
    assert new != old
    assert (await cell.events(run_id=old))[-1] == "WorkflowExecutionTerminated"
    assert (await cell.describe()).workflow_execution_info.execution.run_id == new


@in_cell
async def test_an_id_that_completed_may_be_refused_reuse(cell: Cell) -> None:
    await cell.start()
    await cell.step(complete_workflow())
    only_failed = WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
    with pytest.raises(WorkflowAlreadyStarted):
        await cell.start(workflow_id_reuse_policy=only_failed)
    await cell.start()
    await cell.terminate()
    await cell.start(workflow_id_reuse_policy=only_failed)


@in_cell
async def test_a_cancel_request_reaches_the_workflow_which_then_cancels_itself(cell: Cell) -> None:
    await cell.start()
    await cell.step()
    await cell.request_cancel()
    await cell.request_cancel()
    await cell.step(cancel_workflow())
    assert (await cell.events()).count("WorkflowExecutionCancelRequested") == 1
    status = (await cell.describe()).workflow_execution_info.status
    assert status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED


@in_cell
async def test_a_terminated_workflow_takes_no_more_signals(cell: Cell) -> None:
    await cell.start()
    task = await cell.poll()
    await cell.terminate()
    with pytest.raises(NotFound):
        await cell.signal("paid")
    with pytest.raises(NotFound, match="workflow task not found"):
        await cell.complete(task, complete_workflow())
    assert (await cell.events())[-2:] == ["WorkflowTaskFailed", "WorkflowExecutionTerminated"]


@in_cell
async def test_a_run_times_out_when_its_time_is_over(cell: Cell) -> None:
    await cell.start(workflow_run_timeout=Duration(seconds=60))
    event = await cell.close_event()
    assert event.HasField("workflow_execution_timed_out_event_attributes")


@in_cell
async def test_a_run_that_continues_as_new_keeps_its_id_and_its_chain(cell: Cell) -> None:
    first = await cell.start()
    await cell.step(continue_as_new())
    second = (await cell.describe()).workflow_execution_info.execution.run_id
    assert second != first
    started = (await cell.history())[0].workflow_execution_started_event_attributes
    assert started.continued_execution_run_id == first
    assert started.first_execution_run_id == first
    closed = (await cell.history(run_id=first))[-1]
    continued = closed.workflow_execution_continued_as_new_event_attributes
    assert continued.new_execution_run_id == second


@in_cell
async def test_a_signal_that_the_closing_run_did_not_see_moves_to_the_next_run(cell: Cell) -> None:
    await cell.start()
    task = await cell.poll()
    await cell.signal("paid", request_id="payment-7")
    await cell.complete(task, continue_as_new())
    assert await cell.events() == [
        "WorkflowExecutionStarted",
        "WorkflowExecutionSignaled",
        "WorkflowTaskScheduled",
    ]
    await cell.signal("paid", request_id="payment-7")
    assert (await cell.events()).count("WorkflowExecutionSignaled") == 1


@in_cell
async def test_a_workflow_is_found_by_a_search_attribute_it_set(cell: Cell) -> None:
    added = o.AddSearchAttributesRequest()
    added.search_attributes["Customer"] = KEYWORD
    await cell.rpc(OPERATOR_SERVICE + "AddSearchAttributes", added, o.AddSearchAttributesResponse)
    await cell.start()
    await cell.start("order-2")
    await cell.complete(await cell.poll(), upsert_search_attribute("Customer", "ada"))
    found = await cell.ask(w.ListWorkflowExecutionsRequest(query="Customer = 'ada'"))
    assert [info.execution.workflow_id for info in found.executions] == ["order-1"]
    counted = await cell.ask(w.CountWorkflowExecutionsRequest(query="Customer IS NULL"))
    assert counted.count == 1


@in_cell
async def test_an_unknown_search_attribute_fails_the_workflow_task(cell: Cell) -> None:
    await cell.start()
    with pytest.raises(InvalidArgument, match=r"BadSearchAttributes.*no mapping defined"):
        await cell.step(upsert_search_attribute("Customer", "ada"))
    assert (await cell.events())[-1] == "WorkflowTaskFailed"
