"""Commands about timers."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    CancelTimerCommandAttributes,
    Command,
    StartTimerCommandAttributes,
)
from temporalio.api.enums.v1 import WorkflowTaskFailedCause as Cause
from temporalio.api.history.v1 import (
    HistoryEvent,
    TimerCanceledEventAttributes,
    TimerStartedEventAttributes,
)

from engine.history import durations
from engine.history.commands.metadata import metadata_of
from engine.history.commands.rejection import CommandRejected
from engine.history.protobuf import duration_ns
from engine.history.transition import Transition
from engine.limits import ID_BYTES_MAX, PENDING_TIMER_COUNT_MAX
from engine.metering.facts import FactKind

BAD_START = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES
BAD_CANCEL = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_TIMER_ATTRIBUTES
DUPLICATE = Cause.WORKFLOW_TASK_FAILED_CAUSE_START_TIMER_DUPLICATE_ID


def start_timer(
    t: Transition, completed_event_id: int, command: Command, a: StartTimerCommandAttributes
) -> None:
    if not a.timer_id or len(a.timer_id.encode()) > ID_BYTES_MAX:
        raise CommandRejected(BAD_START, f"timer_id must have 1 to {ID_BYTES_MAX} bytes")
    if problem := durations.problem(a.start_to_fire_timeout):
        raise CommandRejected(BAD_START, f"start_to_fire_timeout {problem}")
    if not duration_ns(a.start_to_fire_timeout):
        raise CommandRejected(BAD_START, "start_to_fire_timeout must be positive")
    if a.timer_id in t.state.timers:
        raise CommandRejected(DUPLICATE, f"timer {a.timer_id!r} is already running")
    if len(t.state.timers) >= PENDING_TIMER_COUNT_MAX:
        raise CommandRejected(BAD_START, f"more than {PENDING_TIMER_COUNT_MAX} running timers")
    t.append(
        TimerStartedEventAttributes(
            timer_id=a.timer_id,
            start_to_fire_timeout=a.start_to_fire_timeout,
            workflow_task_completed_event_id=completed_event_id,
        ),
        metadata=metadata_of(command),
        fact=FactKind.TIMER_STARTED,
    )


def cancel_timer(
    t: Transition, completed_event_id: int, command: Command, a: CancelTimerCommandAttributes
) -> None:
    timer = t.state.timers.get(a.timer_id)
    started_event_id = timer.started_event_id if timer else _take_back_fired(t, a.timer_id)
    t.append(
        TimerCanceledEventAttributes(
            timer_id=a.timer_id,
            started_event_id=started_event_id,
            workflow_task_completed_event_id=completed_event_id,
        ),
        metadata=metadata_of(command),
    )


def _take_back_fired(t: Transition, timer_id: str) -> int:
    """Drop the timer's fired event from the buffer: the workflow cancelled it unseen."""
    for number, row in t.state.buffered.items():
        event = HistoryEvent.FromString(row.partition(b"\0")[2])
        fired = event.timer_fired_event_attributes
        if event.HasField("timer_fired_event_attributes") and fired.timer_id == timer_id:
            t.state.drop_buffered(number)
            return fired.started_event_id
    raise CommandRejected(BAD_CANCEL, f"timer {timer_id!r} is not running")
