"""Activities: attempts, timeouts, heartbeats, cancellation."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w
from temporalio.api.enums.v1 import RetryState, TimeoutType

from engine.errors import InvalidArgument, NotFound
from tests.engine.cell import (
    NAMESPACE_ID,
    Cell,
    cancel_activity,
    complete_workflow,
    in_cell,
    names,
    schedule_activity,
    soon,
    text,
)

SECOND = timedelta(seconds=1)


def attributes(task: Any, kind: str) -> Any:
    """The attributes of the last event of a kind that the task shows."""
    found = [event for event in task.history.events if event.HasField(kind)]
    return getattr(found[-1], kind)


@in_cell
async def test_a_failed_attempt_is_tried_again_after_its_backoff(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity())
    first = await cell.poll_activity()
    failed_at = cell.loop.time()
    await cell.fail_activity(first)
    second = await cell.poll_activity()
    assert cell.loop.time() - failed_at >= 1
    assert (first.attempt, second.attempt) == (1, 2)
    await cell.complete_activity(second)
    task = await cell.step(complete_workflow())
    started = attributes(task, "activity_task_started_event_attributes")
    assert started.attempt == second.attempt
    assert started.last_failure.message == "out of stock"


@in_cell
async def test_the_last_allowed_attempt_fails_the_activity(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity(maximum_attempts=2))
    await cell.fail_activity(await cell.poll_activity())
    await cell.fail_activity(await cell.poll_activity())
    failed = attributes(await cell.poll(), "activity_task_failed_event_attributes")
    assert failed.retry_state == RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED


@in_cell
async def test_a_failure_that_is_not_retryable_fails_the_activity_at_once(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity())
    await cell.fail_activity(await cell.poll_activity(), non_retryable=True)
    failed = attributes(await cell.poll(), "activity_task_failed_event_attributes")
    assert failed.retry_state == RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE


@in_cell
async def test_an_attempt_that_never_ends_times_out_and_its_answer_is_refused(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity(start_to_close=SECOND))
    first = await cell.poll_activity()
    second = await cell.poll_activity()
    assert second.attempt == first.attempt + 1
    with pytest.raises(NotFound):
        await cell.complete_activity(first)
    await cell.complete_activity(second)


@in_cell
async def test_an_activity_nobody_takes_times_out(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity(schedule_to_start=SECOND))
    task = await cell.poll()
    timed_out = attributes(task, "activity_task_timed_out_event_attributes")
    kind = timed_out.failure.timeout_failure_info.timeout_type
    assert kind == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
    assert "ActivityTaskStarted" not in names(task.history.events)


@in_cell
async def test_an_activity_has_its_total_time_across_attempts(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity(schedule_to_close=timedelta(seconds=5)))
    scheduled_at = cell.loop.time()
    worker = await soon(fail_for_ever(cell))
    task = await cell.poll()
    worker.cancel()
    failed = attributes(task, "activity_task_failed_event_attributes")
    assert failed.retry_state == RetryState.RETRY_STATE_TIMEOUT
    assert cell.loop.time() - scheduled_at <= 5


async def fail_for_ever(cell: Cell) -> Any:
    while True:
        task = await cell.poll_activity()
        if task.task_token:
            await cell.fail_activity(task)


async def heartbeat(cell: Cell, task: Any, details: str) -> bool:
    answer = await cell.ask(
        w.RecordActivityTaskHeartbeatRequest(task_token=task.task_token, details=text(details))
    )
    return bool(answer.cancel_requested)


@in_cell
async def test_heartbeats_keep_an_attempt_alive_and_reach_the_next_one(cell: Cell) -> None:
    await cell.start()
    await cell.step(
        schedule_activity(start_to_close=timedelta(hours=1), heartbeat=timedelta(seconds=3))
    )
    first = await cell.poll_activity()
    began = cell.loop.time()
    retried = await soon(cell.poll_activity())
    for count in range(3):
        await asyncio.sleep(2)
        await heartbeat(cell, first, f"row {count}")
    second = await retried
    assert cell.loop.time() - began >= 3
    assert second.heartbeat_details == text("row 2")


@in_cell
async def test_a_worker_learns_of_a_cancel_request_by_its_heartbeat(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity(heartbeat=timedelta(seconds=5)))
    task = await cell.poll_activity()
    assert not await heartbeat(cell, task, "a")
    with pytest.raises(InvalidArgument):
        await cell.ask(w.RespondActivityTaskCanceledRequest(task_token=task.task_token))
    await cell.signal("stop")
    await cell.step(cancel_activity(5))
    assert await heartbeat(cell, task, "b")
    await cell.ask(w.RespondActivityTaskCanceledRequest(task_token=task.task_token))
    assert "ActivityTaskCanceled" in await cell.events()


@in_cell
async def test_an_activity_that_did_not_start_is_cancelled_at_once(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity())
    await cell.signal("stop")
    await cell.step(cancel_activity(5))
    assert (await cell.events())[-3:] == [
        "ActivityTaskCancelRequested",
        "ActivityTaskCanceled",
        "WorkflowTaskScheduled",
    ]


@in_cell
async def test_a_running_activity_completes_after_a_crash_with_its_old_token(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity())
    task = await cell.poll_activity()
    await cell.crash_and_restart()
    await cell.complete_activity(task)
    await cell.step(complete_workflow())
    assert (await cell.events())[-1] == "WorkflowExecutionCompleted"


@in_cell
async def test_a_waiting_activity_is_offered_again_after_a_crash(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity())
    await cell.crash_and_restart()
    task = await cell.poll_activity()
    assert (task.activity_id, task.attempt) == ("1", 1)


@in_cell
async def test_an_activity_is_completed_by_its_id(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity("approval"))
    await cell.ask(
        w.RespondActivityTaskCompletedByIdRequest(
            workflow_id="order-1", activity_id="approval", result=text("yes")
        )
    )
    assert "ActivityTaskCompleted" in await cell.events()


@in_cell
async def test_a_token_of_another_namespace_is_refused(cell: Cell) -> None:
    await cell.put_namespace("other")
    await cell.start()
    await cell.step(schedule_activity())
    task = await cell.poll_activity()
    stolen = w.RespondActivityTaskCompletedRequest(task_token=task.task_token)
    with pytest.raises(InvalidArgument, match="not a token of this namespace"):
        await cell.ask(stolen, "other")
    await cell.complete_activity(task)
    assert NAMESPACE_ID != "other"


@in_cell
async def test_a_worker_takes_an_eager_activity_in_the_reply_to_its_completion(cell: Cell) -> None:
    await cell.start()
    answer = await cell.complete(await cell.poll(), schedule_activity(eager=True))
    (task,) = answer.activity_tasks
    await cell.complete_activity(task)
    assert "ActivityTaskCompleted" in await cell.events()


@in_cell
async def test_attempts_are_metered_and_refused_answers_are_not(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity(start_to_close=SECOND))
    first = await cell.poll_activity()
    second = await cell.poll_activity()
    with pytest.raises(NotFound):
        await cell.complete_activity(first)
    await cell.complete_activity(second)
    await cell.step(complete_workflow())
    assert await cell.facts() == {
        "workflow_started": 1,
        "activity_scheduled": 1,
        "activity_retried": 1,
    }
