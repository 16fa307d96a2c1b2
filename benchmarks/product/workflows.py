"""The benchmark's workflows, as a worker sees them: events folded into a state, then commands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from temporalio.api.command.v1.message_pb2 import (
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
)
from temporalio.api.common.v1.message_pb2 import ActivityType, WorkflowType
from temporalio.api.enums.v1.command_type_pb2 import CommandType
from temporalio.api.enums.v1.event_type_pb2 import EventType
from temporalio.api.history.v1.message_pb2 import HistoryEvent
from temporalio.api.taskqueue.v1.message_pb2 import TaskQueue

from benchmarks.product.wire import json_payloads

QUEUE = "benchmark"
ACTIVITY_TIMEOUT_SECONDS = 60
SIGNALS_PER_RUN = 1_000
STOP_SIGNAL = "stop"


class BrokenHistory(Exception):
    """The events of a run are not what its workflow can have caused."""


@dataclass
class RunState:
    """What a worker remembers of a run: sequence, wide or signals, by its workflow type.

    The input of `sequence` and `wide` is `[activities, text]`; that of `signals` is
    `[handled, total]`, what the runs before this one have handled.
    """

    workflow_type: str = ""
    argument: list[Any] = field(default_factory=list)
    last_event_id: int = 0
    scheduled: int = 0
    completed: set[int] = field(default_factory=set)
    last_result: bytes = b""
    signals: list[int] = field(default_factory=list)
    stopped: bool = False

    def apply(self, events: Iterable[HistoryEvent]) -> None:
        """Take in the next events; refuses a gap in their ids and a second completion."""
        for event in events:
            if event.event_id != self.last_event_id + 1:
                raise BrokenHistory(f"event {event.event_id} follows {self.last_event_id}")
            self.last_event_id = event.event_id
            fold = _FOLDS.get(event.event_type)
            if fold is not None:
                fold(self, event)

    def commands(self) -> list[Command]:
        """What the workflow's code asks for next."""
        if self.workflow_type == "signals":
            return self._signal_commands()
        activities, text = self.argument
        at_once = activities if self.workflow_type == "wide" else 1
        if len(self.completed) == activities:
            return [_complete(self.last_result)]
        if len(self.completed) < self.scheduled:
            return []
        first = self.scheduled
        return [_activity(f"{number}", text) for number in range(first, first + at_once)]

    def _signal_commands(self) -> list[Command]:
        handled, total = self.argument
        handled, total = handled + len(self.signals), total + sum(self.signals)
        if self.stopped:
            return [_complete(json.dumps([handled, total]).encode())]
        if len(self.signals) >= SIGNALS_PER_RUN:
            return [_continue_as_new(self.workflow_type, [handled, total])]
        return []


def _started(state: RunState, event: HistoryEvent) -> None:
    attributes = event.workflow_execution_started_event_attributes
    state.workflow_type = attributes.workflow_type.name
    state.argument = json.loads(attributes.input.payloads[0].data)


def _scheduled(state: RunState, _event: HistoryEvent) -> None:
    state.scheduled += 1


def _completed(state: RunState, event: HistoryEvent) -> None:
    attributes = event.activity_task_completed_event_attributes
    if attributes.scheduled_event_id in state.completed:
        raise BrokenHistory(f"activity {attributes.scheduled_event_id} completed twice")
    state.completed.add(attributes.scheduled_event_id)
    state.last_result = attributes.result.payloads[0].data


def _signaled(state: RunState, event: HistoryEvent) -> None:
    attributes = event.workflow_execution_signaled_event_attributes
    if attributes.signal_name == STOP_SIGNAL:
        state.stopped = True
    else:
        state.signals.append(json.loads(attributes.input.payloads[0].data))


_FOLDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: _started,
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: _scheduled,
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _completed,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: _signaled,
}


def _activity(activity_id: str, text: str) -> Command:
    attributes = ScheduleActivityTaskCommandAttributes(
        activity_id=activity_id,
        activity_type=ActivityType(name="echo"),
        task_queue=TaskQueue(name=QUEUE),
        input=json_payloads(json.dumps(text).encode()),
    )
    attributes.start_to_close_timeout.seconds = ACTIVITY_TIMEOUT_SECONDS
    return Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=attributes,
    )


def _complete(result: bytes) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes(
            result=json_payloads(result)
        ),
    )


def _continue_as_new(workflow_type: str, argument: list[int]) -> Command:
    attributes = ContinueAsNewWorkflowExecutionCommandAttributes(
        workflow_type=WorkflowType(name=workflow_type),
        task_queue=TaskQueue(name=QUEUE),
        input=json_payloads(json.dumps(argument).encode()),
    )
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=attributes,
    )
