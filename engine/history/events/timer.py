"""Events of timers."""

from __future__ import annotations

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import (
    HistoryEvent,
    TimerCanceledEventAttributes,
    TimerFiredEventAttributes,
    TimerStartedEventAttributes,
)

from engine.history.event_kind import EventKind
from engine.history.protobuf import duration_ns, timestamp_ns
from engine.history.state import RunState, Timer


def timer_started(
    state: RunState, event: HistoryEvent, attributes: TimerStartedEventAttributes
) -> None:
    due_at_ns = timestamp_ns(event.event_time) + duration_ns(attributes.start_to_fire_timeout)
    state.put_timer(Timer(attributes.timer_id, event.event_id, due_at_ns))


def timer_fired(
    state: RunState, event: HistoryEvent, attributes: TimerFiredEventAttributes
) -> None:
    state.drop_timer(attributes.timer_id)


def timer_canceled(
    state: RunState, event: HistoryEvent, attributes: TimerCanceledEventAttributes
) -> None:
    """A fired timer whose event was still in the buffer is gone from the state already."""
    if attributes.timer_id in state.timers:
        state.drop_timer(attributes.timer_id)


TIMER_EVENTS = {
    TimerStartedEventAttributes: EventKind(
        EventType.EVENT_TYPE_TIMER_STARTED,
        "timer_started_event_attributes",
        False,
        timer_started,
    ),
    TimerFiredEventAttributes: EventKind(
        EventType.EVENT_TYPE_TIMER_FIRED,
        "timer_fired_event_attributes",
        True,
        timer_fired,
    ),
    TimerCanceledEventAttributes: EventKind(
        EventType.EVENT_TYPE_TIMER_CANCELED,
        "timer_canceled_event_attributes",
        False,
        timer_canceled,
    ),
}
