"""The benchmark's own workflow code: what it asks for, and which histories it refuses."""

from __future__ import annotations

import json

import pytest
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from benchmarks.product.wire import json_payloads
from benchmarks.product.workflows import SIGNALS_PER_RUN, STOP_SIGNAL, BrokenHistory, RunState


class History:
    """Writes events with ids that follow each other."""

    def __init__(self) -> None:
        self.events: list[HistoryEvent] = []

    def add(self, event_type: EventType.ValueType) -> HistoryEvent:
        self.events.append(HistoryEvent(event_id=len(self.events) + 1, event_type=event_type))
        return self.events[-1]

    def started(self, workflow_type: str, argument: list[object]) -> None:
        event = self.add(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
        attributes = event.workflow_execution_started_event_attributes
        attributes.workflow_type.CopyFrom(WorkflowType(name=workflow_type))
        attributes.input.CopyFrom(json_payloads(json.dumps(argument).encode()))

    def scheduled(self) -> int:
        return self.add(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED).event_id

    def completed(self, scheduled_event_id: int) -> None:
        event = self.add(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
        attributes = event.activity_task_completed_event_attributes
        attributes.scheduled_event_id = scheduled_event_id
        attributes.result.CopyFrom(json_payloads(b'"text"'))

    def signaled(self, name: str, number: int) -> None:
        event = self.add(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        attributes = event.workflow_execution_signaled_event_attributes
        attributes.signal_name = name
        attributes.input.CopyFrom(json_payloads(b"%d" % number))

    def asks_for(self) -> list[str | None]:
        state = RunState()
        state.apply(self.events)
        return [command.WhichOneof("attributes") for command in state.commands()]


ACTIVITY = "schedule_activity_task_command_attributes"
COMPLETE = "complete_workflow_execution_command_attributes"
CONTINUE = "continue_as_new_workflow_execution_command_attributes"


def test_a_sequence_asks_for_one_activity_after_the_other() -> None:
    history = History()
    history.started("sequence", [2, "text"])
    assert history.asks_for() == [ACTIVITY]
    first = history.scheduled()
    assert history.asks_for() == []
    history.completed(first)
    assert history.asks_for() == [ACTIVITY]
    history.completed(history.scheduled())
    assert history.asks_for() == [COMPLETE]


def test_a_wide_workflow_asks_for_all_at_once_and_waits_for_all() -> None:
    history = History()
    history.started("wide", [3, "text"])
    assert history.asks_for() == [ACTIVITY] * 3
    scheduled = [history.scheduled() for _ in range(3)]
    for event_id in scheduled[:2]:
        history.completed(event_id)
    assert history.asks_for() == []
    history.completed(scheduled[2])
    assert history.asks_for() == [COMPLETE]


def test_signals_continue_as_new_at_their_limit_and_carry_count_and_sum() -> None:
    history = History()
    history.started("signals", [10, 100])
    for number in range(1, SIGNALS_PER_RUN):
        history.signaled("number", number)
    assert history.asks_for() == []
    history.signaled("number", SIGNALS_PER_RUN)
    assert history.asks_for() == [CONTINUE]
    state = RunState()
    state.apply(history.events)
    attributes = state.commands()[0].continue_as_new_workflow_execution_command_attributes
    total = 100 + SIGNALS_PER_RUN * (SIGNALS_PER_RUN + 1) // 2
    assert json.loads(attributes.input.payloads[0].data) == [10 + SIGNALS_PER_RUN, total]


def test_the_stop_signal_completes_and_is_not_counted() -> None:
    history = History()
    history.started("signals", [0, 0])
    history.signaled("number", 7)
    history.signaled(STOP_SIGNAL, 0)
    state = RunState()
    state.apply(history.events)
    attributes = state.commands()[0].complete_workflow_execution_command_attributes
    assert json.loads(attributes.result.payloads[0].data) == [1, 7]


def test_a_gap_in_the_events_is_refused() -> None:
    history = History()
    history.started("sequence", [1, "text"])
    history.scheduled()
    with pytest.raises(BrokenHistory, match="event 2 follows 0"):
        RunState().apply(history.events[1:])


def test_a_second_completion_of_one_activity_is_refused() -> None:
    history = History()
    history.started("sequence", [1, "text"])
    first = history.scheduled()
    history.completed(first)
    history.completed(first)
    with pytest.raises(BrokenHistory, match="completed twice"):
        RunState().apply(history.events)
