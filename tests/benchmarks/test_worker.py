"""The benchmark's worker notices what a server must not do: lose, repeat or reorder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import cast

import pytest
from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
)

from benchmarks.load import Tally, beside
from benchmarks.product.wire import AnswerType, Refused, Wire, json_payloads
from benchmarks.product.worker import Worker
from benchmarks.product.workflows import SIGNALS_PER_RUN

ACTIVITY_POLL = "poll-activity-task"
WORKFLOW_POLL = "poll-workflow-task"


class FakeWire:
    """Hands out prepared tasks, then leaves polls waiting; keeps what was completed."""

    def __init__(self, poll: str, tasks: Iterable[Message]) -> None:
        self.poll = poll
        self.tasks = list(tasks)
        self.completed: list[bytes] = []
        self.refusals: list[Refused] = []
        self.pollers = 0
        self.waiting = 0
        self.all_wait = asyncio.Event()

    async def post(self, path: str, request: bytes, answer: type[AnswerType]) -> AnswerType:
        if "/poll-" in path:
            if self.poll in path and self.tasks:
                return cast("AnswerType", self.tasks.pop(0))
            self.waiting += 1
            if self.waiting == self.pollers:
                self.all_wait.set()
            await asyncio.Event().wait()
        if self.refusals:
            raise self.refusals.pop(0)
        self.completed.append(request)
        return answer()


async def work_off(wire: FakeWire, tally: Tally) -> Worker:
    """Run a worker until all its pollers wait, so that every task has been answered."""
    worker = Worker(cast("Wire", wire), tally)
    work = worker.pollers()
    wire.pollers = len(work)
    async with beside(work):
        await wire.all_wait.wait()
    return worker


def activity_task(activity_id: str, attempt: int = 1) -> PollActivityTaskQueueResponse:
    return PollActivityTaskQueueResponse(
        task_token=b"token",
        workflow_execution=WorkflowExecution(workflow_id="w", run_id="r"),
        activity_id=activity_id,
        attempt=attempt,
        input=json_payloads(b'"text"'),
    )


def signal_events(first_event_id: int, numbers: Iterable[int]) -> list[HistoryEvent]:
    events = []
    for offset, number in enumerate(numbers):
        event = HistoryEvent(
            event_id=first_event_id + offset,
            event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        )
        attributes = event.workflow_execution_signaled_event_attributes
        attributes.signal_name = "number"
        attributes.input.CopyFrom(json_payloads(b"%d" % number))
        events.append(event)
    return events


def workflow_task(events: list[HistoryEvent]) -> PollWorkflowTaskQueueResponse:
    task = PollWorkflowTaskQueueResponse(
        task_token=b"token",
        workflow_execution=WorkflowExecution(workflow_id="w", run_id="r"),
        started_event_id=events[-1].event_id,
    )
    task.history.events.extend(events)
    return task


def started() -> HistoryEvent:
    event = HistoryEvent(event_id=1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    attributes = event.workflow_execution_started_event_attributes
    attributes.workflow_type.CopyFrom(WorkflowType(name="signals"))
    attributes.input.CopyFrom(json_payloads(json.dumps([0, 0]).encode()))
    return event


@pytest.mark.anyio
async def test_an_attempt_that_is_handed_out_twice_is_a_duplicate() -> None:
    tally = Tally()
    tasks = [activity_task("1"), activity_task("2"), activity_task("1"), activity_task("1", 2)]
    wire = FakeWire(ACTIVITY_POLL, tasks)
    await work_off(wire, tally)
    assert (tally.duplicates, tally.errors) == (1, 0)
    assert len(wire.completed) == 4


@pytest.mark.anyio
async def test_signals_count_when_a_completion_that_saw_them_is_accepted() -> None:
    tally = Tally()
    wire = FakeWire(WORKFLOW_POLL, [workflow_task([started(), *signal_events(2, [7, 8])])])
    worker = await work_off(wire, tally)
    assert dict(worker.handled_signals) == {7: 1, 8: 1}
    assert tally.errors == 0


@pytest.mark.anyio
async def test_signals_of_a_refused_completion_do_not_count() -> None:
    tally = Tally()
    wire = FakeWire(WORKFLOW_POLL, [workflow_task([started(), *signal_events(2, [7])])])
    wire.refusals.append(Refused("/workflow-task-complete", 404, b"gone"))
    worker = await work_off(wire, tally)
    assert not worker.handled_signals
    assert tally.errors == 1


@pytest.mark.anyio
async def test_losing_against_a_new_event_is_no_error() -> None:
    tally = Tally()
    wire = FakeWire(WORKFLOW_POLL, [workflow_task([started()])])
    wire.refusals.append(Refused("/workflow-task-complete", 400, b"UnhandledCommand"))
    await work_off(wire, tally)
    assert tally.errors == 0


@pytest.mark.anyio
async def test_a_history_with_a_gap_is_an_error() -> None:
    tally = Tally()
    wire = FakeWire(WORKFLOW_POLL, [workflow_task([started(), *signal_events(3, [7])])])
    await work_off(wire, tally)
    assert tally.errors == 1
    assert "event 3 follows 1" in tally.first_problem


@pytest.mark.anyio
async def test_a_full_run_continues_as_new() -> None:
    events = [started(), *signal_events(2, range(SIGNALS_PER_RUN))]
    wire = FakeWire(WORKFLOW_POLL, [workflow_task(events)])
    await work_off(wire, Tally())
    [completed] = wire.completed
    request = RespondWorkflowTaskCompletedRequest.FromString(completed)
    [command] = request.commands
    assert command.HasField("continue_as_new_workflow_execution_command_attributes")
