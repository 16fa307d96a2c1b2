"""How runs begin: delayed, eager, repeated; and what a start may not ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import Callback
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from temporalio.api.workflow.v1 import OnConflictOptions

from engine.errors import InvalidArgument, WorkflowAlreadyStarted
from tests.engine.cell import (
    QUEUE,
    Cell,
    complete_workflow,
    continue_as_new,
    in_cell,
    names,
    schedule_activity,
    soon,
    text,
)

DELAY = Duration(seconds=40)


def start_request(workflow_id: str = "order-1") -> w.StartWorkflowExecutionRequest:
    request = w.StartWorkflowExecutionRequest(workflow_id=workflow_id)
    request.workflow_type.name, request.task_queue.name = "Order", QUEUE
    return request


def signal_with_start_request() -> w.SignalWithStartWorkflowExecutionRequest:
    request = w.SignalWithStartWorkflowExecutionRequest(workflow_id="order-1", signal_name="paid")
    request.workflow_type.name, request.task_queue.name = "Order", QUEUE
    return request


@in_cell
async def test_a_delayed_start_hands_out_its_first_task_when_the_delay_is_over(cell: Cell) -> None:
    began = cell.loop.time()
    await cell.start(workflow_start_delay=DELAY, request_eager_execution=True)
    assert await cell.events() == ["WorkflowExecutionStarted"]
    await cell.signal("paid")
    assert (await cell.poll()).task_token
    assert 0 <= cell.loop.time() - began - DELAY.seconds < 1
    assert (await cell.events())[:3] == [
        "WorkflowExecutionStarted",
        "WorkflowExecutionSignaled",
        "WorkflowTaskScheduled",
    ]


@in_cell
async def test_a_delay_outlives_the_node(cell: Cell) -> None:
    began = cell.loop.time()
    await cell.start(workflow_start_delay=Duration(seconds=3 * 86_400))
    await cell.sleep_without_node(timedelta(days=2))
    await cell.sleep_without_node(timedelta(days=1) - timedelta(seconds=30))
    assert (await cell.poll()).task_token
    assert 0 <= cell.loop.time() - began - 3 * 86_400 < 1


@in_cell
async def test_a_cancel_request_wakes_a_delayed_workflow(cell: Cell) -> None:
    began = cell.loop.time()
    await cell.start(workflow_start_delay=DELAY)
    await cell.request_cancel()
    task = await cell.poll()
    assert cell.loop.time() - began < 1
    assert "WorkflowExecutionCancelRequested" in names(task.history.events)


@in_cell
async def test_the_time_of_a_run_begins_when_its_delay_is_over(cell: Cell) -> None:
    began = cell.loop.time()
    await cell.start(workflow_start_delay=DELAY, workflow_run_timeout=Duration(seconds=20))
    event = await cell.close_event()
    assert event.HasField("workflow_execution_timed_out_event_attributes")
    assert 0 <= cell.loop.time() - began - 60 < 1


@in_cell
async def test_an_eager_start_brings_its_first_task_along(cell: Cell) -> None:
    answer = await cell.start_answer(request_eager_execution=True, identity="me")
    task = answer.eager_workflow_task
    assert names(list(task.history.events)) == [
        "WorkflowExecutionStarted",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
    ]
    assert (task.workflow_execution.run_id, task.started_event_id) == (answer.run_id, 3)
    cell.timeout_seconds = 1
    assert not (await cell.poll()).task_token
    await cell.complete(task, complete_workflow())


@in_cell
async def test_an_eager_task_that_its_client_lost_comes_to_a_worker_after_its_timeout(
    cell: Cell,
) -> None:
    await cell.start(request_eager_execution=True)
    task = await cell.poll()
    assert task.attempt == 2
    await cell.complete(task, complete_workflow())


@in_cell
async def test_a_start_repeated_after_its_run_continued_as_new_starts_nothing(cell: Cell) -> None:
    await cell.start(request_id="once")
    await cell.step(continue_as_new())
    second = (await cell.describe()).workflow_execution_info.execution.run_id
    again = await cell.start_answer(request_id="once")
    assert (again.run_id, again.started) == (second, True)
    await cell.step(complete_workflow())
    assert (await cell.start_answer(request_id="once")).run_id == second


@in_cell
async def test_a_signal_with_start_starts_once_and_signals_once(cell: Cell) -> None:
    request = signal_with_start_request()
    request.request_id = "payment-7"
    first = await cell.ask(request)
    again = await cell.ask(request)
    assert (first.started, again.started) == (True, False)
    assert again.run_id == first.run_id
    assert await cell.events() == [
        "WorkflowExecutionStarted",
        "WorkflowExecutionSignaled",
        "WorkflowTaskScheduled",
    ]
    assert await cell.facts() == {"signal_with_start": 1}


@in_cell
async def test_a_signal_with_start_finds_its_chain_open_or_closed_and_signals_once(
    cell: Cell,
) -> None:
    request = signal_with_start_request()
    request.request_id = "payment-7"
    await cell.ask(request)
    for command in (continue_as_new(), continue_as_new(), complete_workflow()):
        await cell.step(command)
        assert not (await cell.ask(request)).started
        assert "WorkflowExecutionSignaled" not in await cell.events()


ATTACHING = OnConflictOptions(attach_request_id=True)
REFUSED: dict[str, Callable[[Any], object]] = {
    "versioning_override": lambda request: request.versioning_override.SetInParent(),
    "time_skipping_config": lambda request: request.time_skipping_config.SetInParent(),
    "completion_callbacks": lambda request: request.completion_callbacks.append(Callback()),
    "on_conflict_options": lambda request: request.on_conflict_options.MergeFrom(ATTACHING),
}


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (make, field)
        for make in (start_request, signal_with_start_request)
        for field in REFUSED
        if field in make().DESCRIPTOR.fields_by_name
    ],
)
@in_cell
async def test_a_start_is_refused_what_this_cell_does_not_offer(
    cell: Cell, make: Callable[[], Any], field: str
) -> None:
    await cell.start("law-abiding")
    request = make()
    REFUSED[field](request)
    with pytest.raises(
        InvalidArgument, match=f"^{field} is not offered by this cell; leave it out"
    ):
        await cell.ask(request)


@in_cell
async def test_a_start_that_attaches_nothing_may_say_so(cell: Cell) -> None:
    await cell.start("law-abiding")
    request = start_request(workflow_id="another")
    request.on_conflict_options.SetInParent()
    await cell.ask(request)


@in_cell
async def test_policies_that_contradict_each_other_are_refused(cell: Cell) -> None:
    await cell.start("law-abiding")
    with pytest.raises(InvalidArgument, match="TERMINATE_IF_RUNNING cannot be combined"):
        await cell.start(
            workflow_id_reuse_policy=(
                WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING
            ),
            workflow_id_conflict_policy=(
                WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
            ),
        )
    request = signal_with_start_request()
    request.workflow_id_conflict_policy = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL
    with pytest.raises(InvalidArgument, match="FAIL makes no sense for signal-with-start"):
        await cell.ask(request)


@in_cell
async def test_a_next_run_keeps_what_the_workflow_does_not_change(cell: Cell) -> None:
    await cell.start(
        workflow_run_timeout=Duration(seconds=500), workflow_task_timeout=Duration(seconds=7)
    )
    command = continue_as_new()
    attributes = command.continue_as_new_workflow_execution_command_attributes
    attributes.ClearField("workflow_type")
    attributes.ClearField("task_queue")
    attributes.input.CopyFrom(text("page 2"))
    attributes.backoff_start_interval.FromSeconds(30)
    began = cell.loop.time()
    await cell.step(command)
    task = await cell.poll()
    assert cell.loop.time() - began >= 30
    started = task.history.events[0].workflow_execution_started_event_attributes
    assert (started.workflow_type.name, started.task_queue.name) == ("Order", QUEUE)
    assert started.input == text("page 2")
    assert started.workflow_run_timeout.seconds == 500
    assert started.workflow_task_timeout.seconds == 7
    await cell.complete(task, schedule_activity())


@in_cell
async def test_a_run_that_ended_before_it_was_written_never_becomes_current_again(
    cell: Cell,
) -> None:
    released = cell.hold_commits()
    await soon(cell.start_answer("blocks-the-store"))
    first = await soon(cell.start_answer(request_id="1", workflow_run_timeout=Duration(seconds=1)))
    signaled = await soon(cell.signal("paid", request_id="s"))
    replacing = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    second = await soon(cell.start_answer(request_id="2", workflow_id_conflict_policy=replacing))
    # The first run's deadline passes while neither is written.
    await asyncio.sleep(2)
    third = await soon(cell.start_answer(request_id="3"))
    released.set()
    await signaled
    assert (await first).run_id != (await second).run_id
    with pytest.raises(WorkflowAlreadyStarted):
        await third
