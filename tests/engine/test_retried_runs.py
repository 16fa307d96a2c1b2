"""Runs that are tried again by their retry policy, and those that are not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import temporalio.api.workflowservice.v1 as w
from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Memo
from temporalio.api.enums.v1 import (
    RetryState,
)
from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes
from temporalio.api.sdk.v1 import UserMetadata

from engine.errors import InvalidArgument, NotFound
from engine.limits import CHAIN_INTERVAL_SECONDS_MIN
from tests.engine.bounds import limit
from tests.engine.cell import (
    NAMESPACE_ID,
    Cell,
    cancel_workflow,
    complete_workflow,
    in_cell,
    schedule_activity,
    text,
    upsert_memo,
)
from tests.engine.chain import (
    EVERY_MINUTE,
    INITIATOR,
    STATUS,
    began,
    due,
    failing,
    kept_of,
    policy,
    started_of,
)
from tests.engine.law import check_rows


@in_cell
async def test_a_failed_run_is_tried_again_by_its_policy(cell: Cell) -> None:
    first = await cell.start(
        retry_policy=policy(maximum_attempts=2),
        input=text("order"),
        memo=Memo(fields={"note": text("fragile").payloads[0]}),
        user_metadata=UserMetadata(summary=text("an order").payloads[0]),
        workflow_run_timeout=Duration(seconds=300),
    )
    await cell.step(upsert_memo(note="sent"), failing())
    failed = (await cell.close_event(run_id=first)).workflow_execution_failed_event_attributes
    assert failed.retry_state == RetryState.RETRY_STATE_IN_PROGRESS
    second = failed.new_execution_run_id
    event, started = await began(cell)
    assert (await cell.describe()).workflow_execution_info.execution.run_id == second
    assert started.initiator == INITIATOR.CONTINUE_AS_NEW_INITIATOR_RETRY
    assert started.attempt == 2
    assert started.continued_execution_run_id == started.first_execution_run_id == first
    assert started.original_execution_run_id == second
    assert started.first_workflow_task_backoff == Duration(seconds=10)
    assert started.continued_failure == failed.failure
    assert started.input == text("order")
    # It begins as the first one began, not as that one ended.
    assert started.memo.fields["note"] == text("fragile").payloads[0]
    assert started.workflow_run_timeout.seconds == 300
    assert started.retry_policy.maximum_interval.seconds == 1_000
    assert event.user_metadata.summary == text("an order").payloads[0]
    assert not started.identity

    failed_at = cell.loop.time()
    await cell.step(failing())
    assert 10 <= cell.loop.time() - failed_at < 11
    last = (await cell.close_event(run_id=second)).workflow_execution_failed_event_attributes
    assert last.retry_state == RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED
    assert not last.new_execution_run_id
    assert await cell.facts() == {"workflow_started": 1}


@in_cell
async def test_an_unset_policy_retries_nothing(cell: Cell) -> None:
    await cell.start()
    await cell.step(failing())
    failed = (await cell.close_event()).workflow_execution_failed_event_attributes
    assert failed.retry_state == RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET
    assert not failed.new_execution_run_id


@in_cell
async def test_the_wait_between_attempts_grows_up_to_its_maximum(cell: Cell) -> None:
    await cell.start(retry_policy=policy(maximum_interval=Duration(seconds=25)))
    waits = []
    for _ in range(4):
        ended = cell.loop.time()
        task = await cell.step(failing())
        waits.append(round(cell.loop.time() - ended))
        assert started_of(task).attempt == len(waits)
    assert waits == [0, 10, 20, 25]


@in_cell
async def test_a_failure_may_say_itself_when_it_is_tried_again(cell: Cell) -> None:
    await cell.start(retry_policy=policy())
    await cell.step(failing(next_retry_delay=timedelta(minutes=3)))
    _, started = await began(cell)
    assert started.first_workflow_task_backoff.seconds == 180


@pytest.mark.parametrize("command", [failing("BadCard"), failing(non_retryable=True)])
@in_cell
async def test_what_cannot_be_mended_is_not_tried_again(cell: Cell, command: Command) -> None:
    await cell.start(retry_policy=policy(non_retryable_error_types=["BadCard"]))
    await cell.step(command)
    failed = (await cell.close_event()).workflow_execution_failed_event_attributes
    assert failed.retry_state == RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE
    assert not failed.new_execution_run_id


@in_cell
async def test_no_attempt_begins_when_the_execution_is_over(cell: Cell) -> None:
    await cell.start(retry_policy=policy(), workflow_execution_timeout=Duration(seconds=25))
    expires = (await began(cell))[1].workflow_execution_expiration_time
    first = await cell.step(failing())
    assert (await began(cell))[1].workflow_execution_expiration_time == expires
    second = await cell.step(failing())
    failed = (await cell.close_event()).workflow_execution_failed_event_attributes
    assert failed.retry_state == RetryState.RETRY_STATE_TIMEOUT
    assert (started_of(first).attempt, started_of(second).attempt) == (1, 2)


@in_cell
async def test_a_run_that_timed_out_is_tried_again(cell: Cell) -> None:
    first = await cell.start(retry_policy=policy(), workflow_run_timeout=Duration(seconds=30))
    event = await cell.close_event(run_id=first)
    timed_out = event.workflow_execution_timed_out_event_attributes
    assert timed_out.retry_state == RetryState.RETRY_STATE_IN_PROGRESS
    info = (await cell.describe(run_id=first)).workflow_execution_info
    assert info.status == STATUS.WORKFLOW_EXECUTION_STATUS_TIMED_OUT
    task = await cell.poll()
    assert task.workflow_execution.run_id == timed_out.new_execution_run_id
    assert started_of(task).attempt == 2
    assert started_of(task).continued_failure.timeout_failure_info.timeout_type
    await cell.complete(task, complete_workflow())


@in_cell
async def test_an_execution_that_timed_out_is_not_tried_again(cell: Cell) -> None:
    await cell.start(
        retry_policy=policy(),
        cron_schedule=EVERY_MINUTE,
        workflow_run_timeout=Duration(seconds=30),
        workflow_execution_timeout=Duration(seconds=30),
    )
    timed_out = (await cell.close_event()).workflow_execution_timed_out_event_attributes
    assert timed_out.retry_state == RetryState.RETRY_STATE_TIMEOUT
    assert not timed_out.new_execution_run_id


@in_cell
async def test_a_policy_may_refuse_to_retry_timeouts(cell: Cell) -> None:
    await cell.start(
        retry_policy=policy(non_retryable_error_types=["TemporalTimeout:StartToClose"]),
        workflow_run_timeout=Duration(seconds=30),
    )
    timed_out = (await cell.close_event()).workflow_execution_timed_out_event_attributes
    assert timed_out.retry_state == RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE


@in_cell
async def test_a_signal_in_a_backoff_waits_and_a_cancel_request_does_not(cell: Cell) -> None:
    await cell.start(retry_policy=policy())
    await cell.step(failing())
    await cell.signal("paid")
    assert await cell.events() == ["WorkflowExecutionStarted", "WorkflowExecutionSignaled"]
    asked = cell.loop.time()
    await cell.request_cancel()
    await cell.step(cancel_workflow())
    assert cell.loop.time() - asked < 1
    info = (await cell.describe()).workflow_execution_info
    assert info.status == STATUS.WORKFLOW_EXECUTION_STATUS_CANCELED
    assert await cell.facts() == {"workflow_started": 1, "workflow_signaled": 1}


@in_cell
async def test_a_terminated_run_is_the_last_of_its_chain(cell: Cell) -> None:
    await cell.start(retry_policy=policy(), cron_schedule=EVERY_MINUTE)
    await cell.step(failing())
    await cell.terminate()
    info = (await cell.describe()).workflow_execution_info
    assert info.status == STATUS.WORKFLOW_EXECUTION_STATUS_TERMINATED
    cell.timeout_seconds = 300
    assert not (await cell.poll()).task_token


@in_cell
async def test_a_failing_workflow_that_has_not_seen_a_signal_is_not_ended(cell: Cell) -> None:
    await cell.start(retry_policy=policy())
    task = await cell.poll()
    await cell.signal("paid")
    with pytest.raises(InvalidArgument, match="UnhandledCommand"):
        await cell.complete(task, failing())
    assert len((await cell.ask(w.ListWorkflowExecutionsRequest())).executions) == 1
    await cell.step(complete_workflow())


@in_cell
async def test_a_chain_goes_on_with_another_node(cell: Cell) -> None:
    await cell.start(retry_policy=policy(), cron_schedule="@every 1h", input=text("order"))
    await check_rows(cell.node, cell.store, NAMESPACE_ID)
    await cell.sleep_without_node(timedelta(hours=1))
    await cell.step(schedule_activity(), force_create_new_workflow_task=True)
    await cell.crash_and_restart()
    await cell.step(failing())
    await cell.crash_and_restart()
    task = await cell.step(complete_workflow())
    assert (started_of(task).attempt, started_of(task).input) == (2, text("order"))
    await cell.sleep_without_node(timedelta(hours=1))
    task = await cell.step(complete_workflow())
    assert started_of(task).last_completion_result == text("shipped")


@in_cell
async def test_a_start_repeated_after_a_retry_starts_nothing(cell: Cell) -> None:
    await cell.start(request_id="once", retry_policy=policy())
    await cell.step(failing())
    second = (await cell.describe()).workflow_execution_info.execution.run_id
    assert (await cell.start_answer(request_id="once")).run_id == second


@in_cell
async def test_a_chain_is_addressed_by_its_first_run(cell: Cell) -> None:
    first = await cell.start(retry_policy=policy())
    await cell.step(failing())
    info = (await cell.describe()).workflow_execution_info
    assert (info.first_run_id, info.status) == (first, STATUS.WORKFLOW_EXECUTION_STATUS_RUNNING)
    request = w.TerminateWorkflowExecutionRequest(first_execution_run_id=first)
    request.workflow_execution.workflow_id = "order-1"
    await cell.ask(request)
    with pytest.raises(NotFound):
        await cell.terminate()


@in_cell
async def test_a_retried_run_is_not_told_that_it_began_eagerly(cell: Cell) -> None:
    answer = await cell.start_answer(request_eager_execution=True, retry_policy=policy())
    await cell.complete(answer.eager_workflow_task, failing())
    assert not (await began(cell))[1].eager_execution_accepted


@in_cell
async def test_only_a_run_that_another_may_follow_keeps_how_it_began(cell: Cell) -> None:
    await cell.start("alone", input=text("order"))
    await cell.start("tried", input=text("order"), retry_policy=policy(maximum_attempts=1))
    kept = {name: await kept_of(cell, name) for name in ("alone", "tried")}
    assert not kept["alone"]
    assert WorkflowExecutionStartedEventAttributes.FromString(kept["tried"]).input == text("order")
    for _ in kept:
        await due(cell, failing())
    assert not await kept_of(cell, "tried")


@limit("CHAIN_INTERVAL_SECONDS_MIN")
@pytest.mark.parametrize("worked_seconds", [0, CHAIN_INTERVAL_SECONDS_MIN, 3])
@in_cell
async def test_a_chain_begins_no_more_than_one_run_a_second(
    cell: Cell, worked_seconds: int
) -> None:
    first = await cell.start(retry_policy=policy())
    began_at = (await cell.history(run_id=first))[0].event_time.ToDatetime()
    task = await cell.poll()
    await asyncio.sleep(worked_seconds)
    impatient = failing(next_retry_delay=timedelta(0))
    await cell.complete(task, impatient)
    event, started = await began(cell)
    begins_at = event.event_time.ToDatetime() + started.first_workflow_task_backoff.ToTimedelta()
    least = timedelta(seconds=max(worked_seconds, CHAIN_INTERVAL_SECONDS_MIN))
    assert timedelta(0) <= begins_at - began_at - least < timedelta(seconds=1)
