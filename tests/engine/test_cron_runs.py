"""Runs at cron times, what a continued run keeps, and what a chain may not be started with."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import (
    RetryState,
)

from engine.errors import InvalidArgument
from tests.engine.cell import (
    Cell,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    in_cell,
    text,
)
from tests.engine.chain import (
    EVERY_MINUTE,
    INITIATOR,
    STATUS,
    began,
    due,
    failing,
    policy,
    started_of,
)
from tests.engine.test_start import signal_with_start_request, start_request


@in_cell
async def test_a_cron_workflow_runs_at_its_times_and_learns_its_last_result(cell: Cell) -> None:
    first = await cell.start(cron_schedule=EVERY_MINUTE)
    _, started = await began(cell)
    assert started.cron_schedule == EVERY_MINUTE
    backoff = started.first_workflow_task_backoff.ToTimedelta()
    assert timedelta(0) < backoff <= timedelta(minutes=1)
    task = await due(cell, complete_workflow("one"))
    assert not started_of(task).HasField("last_completion_result")
    completed = (await cell.close_event(run_id=first)).workflow_execution_completed_event_attributes
    info = (await cell.describe(run_id=first)).workflow_execution_info
    assert info.status == STATUS.WORKFLOW_EXECUTION_STATUS_COMPLETED
    for _ in range(2):
        info = (await cell.describe()).workflow_execution_info
        assert info.execution.run_id == completed.new_execution_run_id
        assert info.first_run_id == first
        assert (info.execution_time.seconds % 60, info.execution_time.nanos) == (0, 0)
        task = await due(cell, complete_workflow("more"))
        started = started_of(task)
        assert started.initiator == INITIATOR.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
        assert (started.attempt, started.first_execution_run_id) == (1, first)
        assert started.last_completion_result in (text("one"), text("more"))
        assert not started.HasField("continued_failure")
        run_id = task.workflow_execution.run_id
        event = await cell.close_event(run_id=run_id)
        completed = event.workflow_execution_completed_event_attributes
    assert await cell.facts() == {"workflow_started": 4}


@in_cell
async def test_a_cron_run_that_fails_keeps_the_last_result_and_tells_the_failure(
    cell: Cell,
) -> None:
    await cell.start(cron_schedule=EVERY_MINUTE)
    await due(cell, complete_workflow("one"))
    task = await due(cell, failing())
    event = await cell.close_event(run_id=task.workflow_execution.run_id)
    failed = event.workflow_execution_failed_event_attributes
    assert failed.retry_state == RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET
    assert failed.new_execution_run_id
    started = started_of(await due(cell, complete_workflow("three")))
    assert started.initiator == INITIATOR.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    assert started.last_completion_result == text("one")
    assert started.continued_failure == failed.failure
    started = started_of(await due(cell, complete_workflow()))
    assert started.last_completion_result == text("three")
    assert not started.HasField("continued_failure")


@in_cell
async def test_a_cron_run_is_tried_again_before_its_next_time_comes(cell: Cell) -> None:
    await cell.start(cron_schedule="@hourly", retry_policy=policy(maximum_attempts=2))
    attempts = [started_of(await due(cell, failing())) for _ in range(3)]
    assert [started.attempt for started in attempts] == [1, 2, 1]
    assert [started.initiator for started in attempts] == [
        INITIATOR.CONTINUE_AS_NEW_INITIATOR_UNSPECIFIED,
        INITIATOR.CONTINUE_AS_NEW_INITIATOR_RETRY,
        INITIATOR.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE,
    ]
    # The start, and the run of the second hour; attempts are free.
    assert await cell.facts() == {"workflow_started": 2}


@in_cell
async def test_a_cron_run_that_times_out_is_followed_at_the_next_time(cell: Cell) -> None:
    first = await cell.start(cron_schedule="@hourly", workflow_run_timeout=Duration(seconds=30))
    event = await cell.close_event(run_id=first)
    timed_out = event.workflow_execution_timed_out_event_attributes
    assert timed_out.retry_state == RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET
    assert event.event_time.seconds % 3600 == 30
    info = (await cell.describe()).workflow_execution_info
    assert info.execution.run_id == timed_out.new_execution_run_id
    assert info.execution_time.seconds - event.event_time.seconds == 3600 - 30


@in_cell
async def test_times_that_pass_while_a_cron_run_goes_on_are_left_out(cell: Cell) -> None:
    await cell.start(cron_schedule=EVERY_MINUTE)
    task = await cell.poll()
    await cell.complete(task, force_create_new_workflow_task=True)
    at = (await cell.describe()).workflow_execution_info.execution_time
    await asyncio.sleep(1)
    task = await cell.poll()
    for _ in range(15):
        answer = await cell.complete(
            task, return_new_workflow_task=True, force_create_new_workflow_task=True
        )
        task = answer.workflow_task
        await asyncio.sleep(9)
    await cell.complete(task, complete_workflow())
    following = (await cell.describe()).workflow_execution_info.execution_time
    assert following.seconds - at.seconds == 180


@in_cell
async def test_a_canceled_cron_workflow_has_no_next_run(cell: Cell) -> None:
    await cell.start(cron_schedule=EVERY_MINUTE)
    await cell.request_cancel()
    await due(cell, cancel_workflow())
    info = (await cell.describe()).workflow_execution_info
    assert info.status == STATUS.WORKFLOW_EXECUTION_STATUS_CANCELED


@in_cell
async def test_a_signal_with_start_starts_a_cron_chain_for_one_action(cell: Cell) -> None:
    request = signal_with_start_request()
    request.cron_schedule = EVERY_MINUTE
    request.retry_policy.CopyFrom(policy())
    await cell.ask(request)
    assert await cell.events() == ["WorkflowExecutionStarted", "WorkflowExecutionSignaled"]
    await due(cell, failing())
    started = started_of(await due(cell, complete_workflow()))
    assert (started.attempt, started.cron_schedule) == (2, EVERY_MINUTE)
    assert await cell.facts() == {"signal_with_start": 1, "workflow_started": 1}


@in_cell
async def test_a_continued_run_keeps_policy_schedule_and_last_result(cell: Cell) -> None:
    await cell.start(cron_schedule=EVERY_MINUTE, retry_policy=policy())
    await due(cell, complete_workflow("one"))
    await due(cell, failing())
    await due(cell, continue_as_new())
    ended = cell.loop.time()
    started = started_of(await due(cell, failing()))
    assert cell.loop.time() - ended < 1
    assert (started.cron_schedule, started.attempt) == (EVERY_MINUTE, 1)
    assert started.retry_policy.initial_interval.seconds == 10
    assert started.last_completion_result == text("one")
    started = started_of(await due(cell, complete_workflow("two")))
    assert started.attempt == 2
    started = started_of(await due(cell, complete_workflow()))
    assert started.initiator == INITIATOR.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    assert started.last_completion_result == text("two")


@in_cell
async def test_a_workflow_may_continue_with_another_policy_and_schedule(cell: Cell) -> None:
    await cell.start(retry_policy=policy())
    command = continue_as_new()
    attributes = command.continue_as_new_workflow_execution_command_attributes
    attributes.cron_schedule = "@daily"
    attributes.retry_policy.maximum_attempts = 3
    attributes.last_completion_result.CopyFrom(text("page 1"))
    attributes.failure.message = "half of it"
    await due(cell, command)
    _, started = await began(cell)
    assert started.cron_schedule == "@daily"
    assert started.retry_policy.maximum_attempts == 3
    assert started.retry_policy.initial_interval.seconds == 1
    assert started.last_completion_result == text("page 1")
    assert started.continued_failure.message == "half of it"


BAD_POLICIES = [
    (RetryPolicy(backoff_coefficient=0.5), "backoff_coefficient must be at least 1"),
    (RetryPolicy(maximum_attempts=-1), "maximum_attempts must not be negative"),
    (RetryPolicy(initial_interval=Duration(seconds=-1)), "initial_interval must not be negative"),
    (
        RetryPolicy(initial_interval=Duration(seconds=9), maximum_interval=Duration(seconds=8)),
        "maximum_interval must not be below initial_interval",
    ),
]


@pytest.mark.parametrize(("bad", "why"), BAD_POLICIES)
@in_cell
async def test_a_bad_retry_policy_is_refused(cell: Cell, bad: RetryPolicy, why: str) -> None:
    await cell.start("law-abiding")
    for request in (start_request(), signal_with_start_request()):
        request.retry_policy.CopyFrom(bad)
        with pytest.raises(InvalidArgument, match=f"^retry_policy: {why}"):
            await cell.ask(request)
    command = continue_as_new()
    attributes = command.continue_as_new_workflow_execution_command_attributes
    attributes.retry_policy.CopyFrom(bad)
    with pytest.raises(InvalidArgument, match=f"^BadContinueAsNew.*: retry_policy: {why}"):
        await cell.step(command)


@in_cell
async def test_a_bad_cron_schedule_is_refused(cell: Cell) -> None:
    await cell.start("law-abiding")
    why = r"cron_schedule '61 \* \* \* \*': minute '61' is not between 0 and 59; write five fields"
    for request in (start_request(), signal_with_start_request()):
        request.cron_schedule = "61 * * * *"
        with pytest.raises(InvalidArgument, match=f"^{why}"):
            await cell.ask(request)
    command = continue_as_new()
    attributes = command.continue_as_new_workflow_execution_command_attributes
    attributes.cron_schedule = "61 * * * *"
    with pytest.raises(InvalidArgument, match=f"^BadContinueAsNew.*: {why}"):
        await cell.step(command)


@in_cell
async def test_a_schedule_and_a_delay_exclude_each_other(cell: Cell) -> None:
    await cell.start("law-abiding")
    with pytest.raises(InvalidArgument, match=r"^workflow_start_delay cannot be combined with"):
        await cell.start(cron_schedule="@daily", workflow_start_delay=Duration(seconds=1))
