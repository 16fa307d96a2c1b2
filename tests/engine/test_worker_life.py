"""Workers that come, go, ask for more time or cannot send what they decided."""

from __future__ import annotations

import asyncio

import pytest
import temporalio.api.workflowservice.v1 as w
from temporalio.api.enums.v1 import WorkflowTaskFailedCause

from engine.errors import NotFound
from tests.engine.cell import (
    QUEUE,
    Cell,
    complete_workflow,
    in_cell,
    names,
    record_marker,
    soon,
)
from tests.engine.test_worker_calls import STICKY, sticky

TOO_LARGE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE


@in_cell
async def test_a_worker_that_shuts_down_ends_its_poll_and_its_tasks_go_to_others(
    cell: Cell,
) -> None:
    await cell.start()
    await cell.step(sticky_attributes=sticky())
    polled = await soon(cell.poll(STICKY, sticky_of=QUEUE))
    began = cell.loop.time()
    await cell.ask(w.ShutdownWorkerRequest(sticky_task_queue=STICKY, identity="worker"))
    assert not (await polled).task_token
    await cell.signal("paid")
    task = await cell.poll()
    assert cell.loop.time() - began < 1
    assert names(task.history.events)[0] == "WorkflowExecutionStarted"


@in_cell
async def test_a_shutdown_without_a_sticky_queue_changes_nothing(cell: Cell) -> None:
    polled = await soon(cell.poll())
    await cell.ask(w.ShutdownWorkerRequest(identity="worker"))
    await cell.start()
    assert (await polled).task_token


@in_cell
async def test_a_run_whose_sticky_queue_is_reset_shows_its_history_to_anybody(cell: Cell) -> None:
    await cell.start()
    await cell.step(sticky_attributes=sticky())
    polled = await soon(cell.poll(STICKY, sticky_of=QUEUE))
    request = w.ResetStickyTaskQueueRequest()
    request.execution.workflow_id = "order-1"
    await cell.ask(request)
    await cell.signal("paid")
    task = await cell.poll()
    assert names(task.history.events)[0] == "WorkflowExecutionStarted"
    assert not polled.done()
    request.execution.workflow_id = "never-was"
    with pytest.raises(NotFound):
        await cell.ask(request)


@in_cell
async def test_a_worker_that_asks_for_more_time_goes_on_with_a_task_of_its_own(cell: Cell) -> None:
    await cell.start()
    task = await cell.poll()
    for _ in range(3):
        await asyncio.sleep(8)
        answer = await cell.complete(
            task, force_create_new_workflow_task=True, return_new_workflow_task=True
        )
        task = answer.workflow_task
    assert task.attempt == 1
    await cell.complete(task, complete_workflow())
    assert await cell.events() == [
        "WorkflowExecutionStarted",
        *["WorkflowTaskScheduled", "WorkflowTaskStarted", "WorkflowTaskCompleted"] * 4,
        "WorkflowExecutionCompleted",
    ]
    assert (await cell.facts())["workflow_task_heartbeat"] == 3


@in_cell
async def test_a_next_task_may_be_forced_for_whoever_polls(cell: Cell) -> None:
    await cell.start()
    answer = await cell.complete(
        await cell.poll(), record_marker("seen"), force_create_new_workflow_task=True
    )
    assert not answer.HasField("workflow_task")
    await cell.step(complete_workflow())
    assert "workflow_task_heartbeat" not in await cell.facts()


@in_cell
async def test_a_completion_that_no_worker_can_send_ends_its_run(cell: Cell) -> None:
    await cell.start()
    task = await cell.poll()
    await cell.ask(
        w.RespondWorkflowTaskFailedRequest(
            task_token=task.task_token, identity="worker", cause=TOO_LARGE
        )
    )
    assert (await cell.events())[-2:] == ["WorkflowTaskFailed", "WorkflowExecutionTerminated"]
    close = (await cell.close_event()).workflow_execution_terminated_event_attributes
    assert close.reason == "the completion of a workflow task is too large to be sent"


@in_cell
async def test_a_failed_task_says_why_in_the_history(cell: Cell) -> None:
    await cell.start()
    request = w.RespondWorkflowTaskFailedRequest(
        task_token=(await cell.poll()).task_token,
        identity="worker",
        cause=WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
    )
    request.failure.message = "the code changed"
    await cell.ask(request)
    failed = (await cell.history())[3].workflow_task_failed_event_attributes
    assert (failed.cause, failed.failure.message) == (request.cause, "the code changed")
    assert failed.identity == "worker"
    with pytest.raises(NotFound, match="workflow task not found"):
        await cell.ask(request)
