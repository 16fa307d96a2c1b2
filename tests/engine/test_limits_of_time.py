"""The limits of time: what may last how long, and how long anybody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w
from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import RetryPolicy

from engine.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, NotFound
from engine.history import completion
from engine.limits import (
    DURATION_SECONDS_MAX,
    HISTORY_POLL_SECONDS_MAX,
    POLLER_SEEN_SECONDS_MAX,
    QUERY_SECONDS_MAX,
    TASK_POLL_SECONDS_MAX,
    WORKFLOW_TASK_BACKOFF_SECONDS_MAX,
    WORKFLOW_TASK_TIMEOUT_SECONDS,
    WORKFLOW_TASK_TIMEOUT_SECONDS_MAX,
)
from tests.engine.bounds import ON_BOTH_SIDES, limit, refused_if
from tests.engine.cell import (
    QUEUE,
    Cell,
    continue_as_new,
    in_cell,
    schedule_activity,
    start_timer,
)
from tests.engine.door import NODE

MORE_TIME: dict[str, Any] = {
    "force_create_new_workflow_task": True,
    "return_new_workflow_task": True,
}
HOUR = timedelta(hours=1)
ANSWER_MARGIN_SECONDS = 2
"""How much before its caller's patience ends a long poll answers, at most."""


def lasting(command: Command, attributes: str, field: str, duration: Duration) -> Command:
    *path, name = field.split(".")
    message = getattr(command, f"{attributes}_command_attributes")
    for step in path:
        message = getattr(message, step)
    getattr(message, name).CopyFrom(duration)
    return command


DURATIONS: dict[str, Callable[[str, Duration], Command]] = {
    "start_to_fire_timeout": lambda field, duration: lasting(
        start_timer("long", HOUR), "start_timer", field, duration
    ),
    **dict.fromkeys(
        (
            "schedule_to_close_timeout",
            "schedule_to_start_timeout",
            "start_to_close_timeout",
            "heartbeat_timeout",
            "retry_policy.initial_interval",
            "retry_policy.maximum_interval",
        ),
        lambda field, duration: lasting(
            schedule_activity(), "schedule_activity_task", field, duration
        ),
    ),
    **dict.fromkeys(
        ("workflow_run_timeout", "workflow_task_timeout", "backoff_start_interval"),
        lambda field, duration: lasting(
            continue_as_new(), "continue_as_new_workflow_execution", field, duration
        ),
    ),
}

STARTS = (
    "workflow_execution_timeout",
    "workflow_run_timeout",
    "workflow_task_timeout",
    "workflow_start_delay",
)
TOO_LONG = f"must be at most {DURATION_SECONDS_MAX} s"


@limit("DURATION_SECONDS_MAX")
@ON_BOTH_SIDES
@pytest.mark.parametrize("field", DURATIONS)
@in_cell
async def test_what_a_command_waits_for_comes_within_a_hundred_years(
    cell: Cell, field: str, beyond: int
) -> None:
    command = DURATIONS[field](field, Duration(seconds=DURATION_SECONDS_MAX + beyond))
    await cell.start()
    with refused_if(beyond > 0, rf"^Bad\w+: .*{field.rpartition('.')[2]} {TOO_LONG}"):
        await cell.step(command)
    # A run whose rows could not be written would answer nothing any more.
    await cell.describe()


@limit("DURATION_SECONDS_MAX")
@ON_BOTH_SIDES
@pytest.mark.parametrize("field", STARTS)
@in_cell
async def test_what_a_start_waits_for_comes_within_a_hundred_years(
    cell: Cell, field: str, beyond: int
) -> None:
    await cell.start("law-abiding")
    request = w.StartWorkflowExecutionRequest(workflow_id="order-1")
    request.workflow_type.name, request.task_queue.name = "Order", QUEUE
    getattr(request, field).seconds = DURATION_SECONDS_MAX + beyond
    with refused_if(beyond > 0, f"^{field} {TOO_LONG}"):
        await cell.ask(request)
        await cell.describe()


@limit("DURATION_SECONDS_MAX")
@pytest.mark.parametrize("duration", [Duration(seconds=-1), Duration(seconds=-1, nanos=-1)])
@pytest.mark.parametrize("field", DURATIONS)
@in_cell
async def test_no_duration_of_a_command_is_negative(
    cell: Cell, field: str, duration: Duration
) -> None:
    await cell.start()
    with pytest.raises(InvalidArgument, match=f"{field.rpartition('.')[2]} must not be negative"):
        await cell.step(DURATIONS[field](field, duration))


@pytest.mark.parametrize("field", DURATIONS)
@in_cell
async def test_a_duration_that_no_json_could_show_is_refused(cell: Cell, field: str) -> None:
    await cell.start()
    cell.way = NODE
    command = DURATIONS[field](field, Duration(seconds=1, nanos=1_000_000_000))
    with pytest.raises(InvalidArgument, match="must have fewer than 1000000000 nanos; carry them"):
        await cell.step(command)


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        (RetryPolicy(backoff_coefficient=0.5), "backoff_coefficient must be at least 1"),
        (RetryPolicy(backoff_coefficient=float("nan")), "backoff_coefficient must be at least 1"),
        (RetryPolicy(maximum_attempts=-1), "maximum_attempts must not be negative"),
        (
            RetryPolicy(initial_interval=Duration(seconds=9), maximum_interval=Duration(seconds=8)),
            "maximum_interval must not be below initial_interval",
        ),
    ],
)
@in_cell
async def test_a_retry_policy_without_sense_is_refused(
    cell: Cell, policy: RetryPolicy, problem: str
) -> None:
    await cell.start()
    command = schedule_activity()
    command.schedule_activity_task_command_attributes.retry_policy.CopyFrom(policy)
    with pytest.raises(InvalidArgument, match=f"^BadScheduleActivity.*: retry_policy: {problem}"):
        await cell.step(command)


@in_cell
async def test_the_wait_between_attempts_grows_to_its_bound_whatever_its_factor(cell: Cell) -> None:
    await cell.start()
    command = schedule_activity(start_to_close=HOUR)
    policy = command.schedule_activity_task_command_attributes.retry_policy
    policy.backoff_coefficient = float("inf")
    policy.maximum_interval.FromSeconds(90)
    await cell.step(command)
    waits = []
    cell.timeout_seconds = 300
    for _ in range(3):
        task = await cell.poll_activity()
        while not task.task_token:
            task = await cell.poll_activity()
        await cell.fail_activity(task)
        (pending,) = (await cell.describe()).pending_activities
        waits.append(pending.current_retry_interval.seconds)
    assert waits == [1, 90, 90]


@limit("DURATION_SECONDS_MAX")
@pytest.mark.parametrize(("asked", "waited"), [(-5, 0), (1 << 40, DURATION_SECONDS_MAX)])
@in_cell
async def test_a_delay_that_a_failure_asks_for_is_brought_within_its_bounds(
    cell: Cell, asked: int, waited: int
) -> None:
    await cell.start()
    await cell.step(schedule_activity())
    request = w.RespondActivityTaskFailedRequest(task_token=(await cell.poll_activity()).task_token)
    request.failure.application_failure_info.next_retry_delay.seconds = asked
    cell.way = NODE  # What no JSON can say comes in by the other doors.
    await cell.ask(request)
    (pending,) = (await cell.describe()).pending_activities
    assert pending.current_retry_interval.seconds == waited


@limit("WORKFLOW_TASK_TIMEOUT_SECONDS_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_workflow_task_gets_at_most_its_time(cell: Cell, beyond: int) -> None:
    asked = WORKFLOW_TASK_TIMEOUT_SECONDS_MAX + beyond
    await cell.start(workflow_task_timeout=Duration(seconds=asked))
    given = (await cell.describe()).execution_config.default_workflow_task_timeout.seconds
    assert given == min(asked, WORKFLOW_TASK_TIMEOUT_SECONDS_MAX)


@limit("WORKFLOW_TASK_BACKOFF_SECONDS_MAX")
@in_cell
async def test_a_failing_workflow_task_waits_longer_each_time_up_to_a_bound(cell: Cell) -> None:
    await cell.start()
    extra = []
    for _ in range(13):
        task = await cell.poll()
        scheduled = task.history.events[-2].workflow_task_scheduled_event_attributes
        extra.append(scheduled.start_to_close_timeout.seconds - WORKFLOW_TASK_TIMEOUT_SECONDS)
        await cell.fail_workflow_task(task)
    longest = WORKFLOW_TASK_BACKOFF_SECONDS_MAX
    assert extra == [0, 0, 0, 5, 10, 20, 40, 80, 160, 320, longest, longest, longest]


@limit("WORKFLOW_TASK_HEARTBEAT_SECONDS_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_worker_may_ask_for_more_time_up_to_a_bound(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    monkeypatch.setattr(completion, "WORKFLOW_TASK_HEARTBEAT_SECONDS_MAX", 12)
    await cell.start()
    task = await cell.poll()
    for seconds in (6, 5):
        await asyncio.sleep(seconds)
        task = (await cell.complete(task, **MORE_TIME)).workflow_task
    # A little for the time that the poll took.
    await asyncio.sleep(1 + beyond - 0.5)
    with refused_if(beyond > 0, "heartbeat timeout", NotFound):
        await cell.complete(task, **MORE_TIME)
    assert ("WorkflowTaskTimedOut" in await cell.events()) == (beyond > 0)


@limit("TASK_POLL_SECONDS_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_poll_answers_before_its_caller_gives_up(cell: Cell, beyond: int) -> None:
    await cell.start()
    await cell.poll()
    await waits_at_most(cell, TASK_POLL_SECONDS_MAX, beyond, cell.poll_activity)


@limit("HISTORY_POLL_SECONDS_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_wait_for_news_ends_with_none_after_a_while(cell: Cell, beyond: int) -> None:
    await cell.start()
    request = w.GetWorkflowExecutionHistoryRequest(wait_new_event=True)
    request.execution.workflow_id = "order-1"
    request.next_page_token = (await cell.ask(request)).next_page_token
    await waits_at_most(cell, HISTORY_POLL_SECONDS_MAX, beyond, lambda: cell.ask(request))


@limit("QUERY_SECONDS_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_query_that_nobody_answers_ends_after_a_while(cell: Cell, beyond: int) -> None:
    await cell.start()
    await cell.step()

    async def ask() -> None:
        with pytest.raises((DeadlineExceeded, FailedPrecondition)):
            await cell.query("status")

    await waits_at_most(cell, QUERY_SECONDS_MAX, beyond, ask)


async def waits_at_most(
    cell: Cell, seconds_max: int, beyond: int, call: Callable[[], Awaitable[object]]
) -> None:
    """The call takes as long as its caller waits, a little less, and never beyond the limit."""
    cell.timeout_seconds = seconds_max + beyond
    began = cell.loop.time()
    await call()
    took, longest = cell.loop.time() - began, min(cell.timeout_seconds, seconds_max)
    assert longest - ANSWER_MARGIN_SECONDS <= took <= longest


@limit("POLLER_SEEN_SECONDS_MAX")
@ON_BOTH_SIDES
@in_cell
async def test_a_poller_is_shown_for_minutes_after_it_was_seen(cell: Cell, beyond: int) -> None:
    await cell.start()
    await cell.poll()
    await asyncio.sleep(POLLER_SEEN_SECONDS_MAX + beyond)
    request = w.DescribeTaskQueueRequest()
    request.task_queue.name = QUEUE
    assert len((await cell.ask(request)).pollers) == (0 if beyond > 0 else 1)
