"""The benchmark's worker notices what a server must not do: lose, repeat or reorder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, cast

import pytest
from google.rpc.code_pb2 import INVALID_ARGUMENT, NOT_FOUND
from google.rpc.status_pb2 import Status
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
    RespondActivityTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
)

from benchmarks.load import Tally, beside
from benchmarks.product import batches, published
from benchmarks.product.batches import Batches
from benchmarks.product.published import PublishedPolls
from benchmarks.product.wire import AnswerType, Refused, Wire, json_payloads
from benchmarks.product.worker import Worker
from benchmarks.product.workflows import SIGNALS_PER_RUN
from engine.protocol.tasks_pb2 import (
    CompleteTasksRequest,
    CompleteTasksResponse,
    PollTasksResponse,
    TaskCompletion,
    TaskCompletionResult,
)

Task = PollActivityTaskQueueResponse | PollWorkflowTaskQueueResponse
Completion = RespondActivityTaskCompletedRequest | RespondWorkflowTaskCompletedRequest
Polls = type[PublishedPolls] | type[Batches]
POLL_COUNTS = {PublishedPolls: 2 * published.POLLERS, Batches: 2 * batches.POLLERS_PER_QUEUE}

both_ways = pytest.mark.parametrize("polls", POLL_COUNTS)


class FakeWire:
    """Hands out prepared tasks, then leaves polls waiting; keeps what was completed.

    Completions of workflow tasks are refused with `refusal` or answered with `answer`.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = list(tasks)
        self.completed: list[Completion] = []
        self.refusal: Status | None = None
        self.answer = RespondWorkflowTaskCompletedResponse()
        self.expected = len(self.tasks)
        self.all_answered = asyncio.Event()
        self.polls = 0
        self.all_wait = asyncio.Event()

    async def post(self, path: str, request: bytes, answer: type[AnswerType]) -> AnswerType:
        if "/poll-" in path:
            return cast("AnswerType", await self._poll(answer))
        if answer is CompleteTasksResponse:
            completions = CompleteTasksRequest.FromString(request).completions
            results = [self._complete_of_batch(completion) for completion in completions]
            return cast("AnswerType", CompleteTasksResponse(results=results))
        kind: type[Completion] = RespondActivityTaskCompletedRequest
        if path == "/workflow-task-complete":
            kind = RespondWorkflowTaskCompletedRequest
        return cast("AnswerType", self._complete(kind.FromString(request)) or answer())

    async def _poll(self, answer: type[Any]) -> Any:
        batched = answer is PollTasksResponse
        if self.tasks and (batched or isinstance(self.tasks[0], answer)):
            task = self.tasks.pop(0)
            if not batched:
                return task
            if isinstance(task, PollWorkflowTaskQueueResponse):
                return PollTasksResponse(workflow_tasks=[task])
            return PollTasksResponse(activity_tasks=[task])
        self.polls -= 1
        if not self.polls:
            self.all_wait.set()
        return await asyncio.Event().wait()

    def _complete_of_batch(self, completion: TaskCompletion) -> TaskCompletionResult:
        name = completion.WhichOneof("completion") or ""
        result = TaskCompletionResult()
        getattr(result, name).SetInParent()
        try:
            answer = self._complete(getattr(completion, name))
        except Refused:
            return TaskCompletionResult(error=self.refusal)
        if answer is not None:
            result.workflow_task_completed.CopyFrom(answer)
        return result

    def _complete(self, completion: Completion) -> RespondWorkflowTaskCompletedResponse | None:
        self.completed.append(completion)
        if len(self.completed) == self.expected:
            self.all_answered.set()
        if isinstance(completion, RespondActivityTaskCompletedRequest):
            return None
        if self.refusal is not None:
            status = 400 if self.refusal.code == INVALID_ARGUMENT else 404
            raise Refused("/workflow-task-complete", status, self.refusal.message.encode())
        return self.answer


async def work_off(wire: FakeWire, tally: Tally, polls: Polls) -> Worker:
    """Run a worker until all its polls wait and as many completions as expected came."""
    worker = Worker(cast("Wire", wire), tally)
    wire.polls = POLL_COUNTS[polls]
    async with beside(polls(worker, cast("Wire", wire), tally).loops()):
        await wire.all_wait.wait()
        if wire.expected:
            await wire.all_answered.wait()
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


def started(workflow_type: str = "signals", argument: list[object] | None = None) -> HistoryEvent:
    event = HistoryEvent(event_id=1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    attributes = event.workflow_execution_started_event_attributes
    attributes.workflow_type.CopyFrom(WorkflowType(name=workflow_type))
    attributes.input.CopyFrom(json_payloads(json.dumps(argument or [0, 0]).encode()))
    return event


@both_ways
@pytest.mark.anyio
async def test_an_attempt_that_is_handed_out_twice_is_a_duplicate(polls: Polls) -> None:
    tally = Tally()
    tasks = [activity_task("1"), activity_task("2"), activity_task("1"), activity_task("1", 2)]
    wire = FakeWire(tasks)
    await work_off(wire, tally, polls)
    assert (tally.duplicates, tally.errors) == (1, 0)
    assert len(wire.completed) == 4


@both_ways
@pytest.mark.anyio
async def test_signals_count_when_a_completion_that_saw_them_is_accepted(polls: Polls) -> None:
    tally = Tally()
    wire = FakeWire([workflow_task([started(), *signal_events(2, [7, 8])])])
    worker = await work_off(wire, tally, polls)
    assert dict(worker.handled_signals) == {7: 1, 8: 1}
    assert tally.errors == 0


@both_ways
@pytest.mark.anyio
async def test_signals_of_a_refused_completion_do_not_count(polls: Polls) -> None:
    tally = Tally()
    wire = FakeWire([workflow_task([started(), *signal_events(2, [7])])])
    wire.refusal = Status(code=NOT_FOUND, message="gone")
    worker = await work_off(wire, tally, polls)
    assert not worker.handled_signals
    assert tally.errors == 1


@both_ways
@pytest.mark.anyio
async def test_losing_against_a_new_event_is_no_error(polls: Polls) -> None:
    tally = Tally()
    wire = FakeWire([workflow_task([started()])])
    wire.refusal = Status(code=INVALID_ARGUMENT, message="UnhandledCommand")
    await work_off(wire, tally, polls)
    assert tally.errors == 0


@both_ways
@pytest.mark.anyio
async def test_a_history_with_a_gap_is_an_error(polls: Polls) -> None:
    tally = Tally()
    wire = FakeWire([workflow_task([started(), *signal_events(3, [7])])])
    wire.expected = 0
    await work_off(wire, tally, polls)
    assert tally.errors == 1
    assert "event 3 follows 1" in tally.first_problem


@both_ways
@pytest.mark.anyio
async def test_a_full_run_continues_as_new(polls: Polls) -> None:
    events = [started(), *signal_events(2, range(SIGNALS_PER_RUN))]
    wire = FakeWire([workflow_task(events)])
    await work_off(wire, Tally(), polls)
    [completed] = wire.completed
    assert isinstance(completed, RespondWorkflowTaskCompletedRequest)
    [command] = completed.commands
    assert command.HasField("continue_as_new_workflow_execution_command_attributes")


@both_ways
@pytest.mark.anyio
async def test_activities_that_come_with_a_completion_are_worked_off(polls: Polls) -> None:
    tally = Tally()
    wire = FakeWire([workflow_task([started("sequence", [1, "text"])])])
    wire.answer.activity_tasks.append(activity_task("1"))
    wire.expected = 2
    await work_off(wire, tally, polls)
    workflow_completion, activity_completion = wire.completed
    assert isinstance(workflow_completion, RespondWorkflowTaskCompletedRequest)
    [command] = workflow_completion.commands
    assert command.schedule_activity_task_command_attributes.request_eager_execution
    assert isinstance(activity_completion, RespondActivityTaskCompletedRequest)
    assert activity_completion.result == activity_task("1").input
    assert (tally.duplicates, tally.errors) == (0, 0)
