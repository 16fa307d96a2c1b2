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
    _drop(state, attributes)


def timer_canceled(
    state: RunState, event: HistoryEvent, attributes: TimerCanceledEventAttributes
) -> None:
    """A fired timer whose event was still in the buffer is gone from the state already."""
    _drop(state, attributes)


def _drop(
    state: RunState, attributes: TimerFiredEventAttributes | TimerCanceledEventAttributes
) -> None:
    """The timer, unless the workflow used its id again before it saw that it had fired."""
    timer = state.timers.get(attributes.timer_id)
    if timer is not None and timer.started_event_id == attributes.started_event_id:
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
