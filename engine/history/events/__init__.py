"""The only writers of a run's state that follow from history: one function per event noun."""

from __future__ import annotations

from google.protobuf.message import Message

from engine.history.event_kind import EventKind
from engine.history.events.activity import ACTIVITY_EVENTS
from engine.history.events.execution import EXECUTION_EVENTS
from engine.history.events.timer import TIMER_EVENTS
from engine.history.events.workflow_task import WORKFLOW_TASK_EVENTS

EVENTS: dict[type[Message], EventKind] = {
    **EXECUTION_EVENTS,
    **WORKFLOW_TASK_EVENTS,
    **ACTIVITY_EVENTS,
    **TIMER_EVENTS,
}
