"""Events of activities."""

from __future__ import annotations

from msgspec.structs import replace
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import (
    ActivityTaskCanceledEventAttributes,
    ActivityTaskCancelRequestedEventAttributes,
    ActivityTaskCompletedEventAttributes,
    ActivityTaskFailedEventAttributes,
    ActivityTaskScheduledEventAttributes,
    ActivityTaskStartedEventAttributes,
    ActivityTaskTimedOutEventAttributes,
    HistoryEvent,
)

from engine.history.event_kind import EventKind
from engine.history.protobuf import duration_ns, timestamp_ns
from engine.history.state import Activity, Attempt, RunState

ActivityClosedAttributes = (
    ActivityTaskCompletedEventAttributes
    | ActivityTaskFailedEventAttributes
    | ActivityTaskTimedOutEventAttributes
    | ActivityTaskCanceledEventAttributes
)


def activity_task_scheduled(
    state: RunState, event: HistoryEvent, attributes: ActivityTaskScheduledEventAttributes
) -> None:
    at_ns = timestamp_ns(event.event_time)
    state.put_activity(
        Activity(
            scheduled_event_id=event.event_id,
            activity_id=attributes.activity_id,
            activity_type=attributes.activity_type.name,
            task_queue=attributes.task_queue.name,
            scheduled_at_ns=at_ns,
            schedule_to_start_ns=duration_ns(attributes.schedule_to_start_timeout),
            schedule_to_close_ns=duration_ns(attributes.schedule_to_close_timeout),
            start_to_close_ns=duration_ns(attributes.start_to_close_timeout),
            heartbeat_ns=duration_ns(attributes.heartbeat_timeout),
            retry_policy=attributes.retry_policy.SerializeToString(),
            attempt=Attempt(scheduled_at_ns=at_ns),
            priority=attributes.priority.SerializeToString(),
        )
    )


def activity_task_started(
    state: RunState, event: HistoryEvent, attributes: ActivityTaskStartedEventAttributes
) -> None:
    """Written only together with the closing event, so there is nothing left to apply."""


def activity_task_cancel_requested(
    state: RunState, event: HistoryEvent, attributes: ActivityTaskCancelRequestedEventAttributes
) -> None:
    activity = state.activities.get(attributes.scheduled_event_id)
    if activity is not None:
        state.put_activity(replace(activity, cancel_requested_event_id=event.event_id))


def activity_task_closed(
    state: RunState, event: HistoryEvent, attributes: ActivityClosedAttributes
) -> None:
    state.drop_activity(attributes.scheduled_event_id)


ACTIVITY_EVENTS = {
    ActivityTaskScheduledEventAttributes: EventKind(
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        "activity_task_scheduled_event_attributes",
        False,
        activity_task_scheduled,
    ),
    ActivityTaskStartedEventAttributes: EventKind(
        EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
        "activity_task_started_event_attributes",
        True,
        activity_task_started,
    ),
    ActivityTaskCompletedEventAttributes: EventKind(
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        "activity_task_completed_event_attributes",
        True,
        activity_task_closed,
    ),
    ActivityTaskFailedEventAttributes: EventKind(
        EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        "activity_task_failed_event_attributes",
        True,
        activity_task_closed,
    ),
    ActivityTaskTimedOutEventAttributes: EventKind(
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        "activity_task_timed_out_event_attributes",
        True,
        activity_task_closed,
    ),
    ActivityTaskCancelRequestedEventAttributes: EventKind(
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED,
        "activity_task_cancel_requested_event_attributes",
        False,
        activity_task_cancel_requested,
    ),
    ActivityTaskCanceledEventAttributes: EventKind(
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
        "activity_task_canceled_event_attributes",
        True,
        activity_task_closed,
    ),
}
