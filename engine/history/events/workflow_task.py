"""Events of workflow tasks."""

from __future__ import annotations

from msgspec.structs import replace
from temporalio.api.enums.v1 import EventType, TaskQueueKind
from temporalio.api.history.v1 import (
    HistoryEvent,
    WorkflowTaskCompletedEventAttributes,
    WorkflowTaskFailedEventAttributes,
    WorkflowTaskScheduledEventAttributes,
    WorkflowTaskStartedEventAttributes,
    WorkflowTaskTimedOutEventAttributes,
)

from engine.history.event_kind import EventKind
from engine.history.protobuf import duration_ns, timestamp_ns
from engine.history.state import RunState, WorkflowTask

STICKY = TaskQueueKind.TASK_QUEUE_KIND_STICKY


def workflow_task_scheduled(
    state: RunState, event: HistoryEvent, attributes: WorkflowTaskScheduledEventAttributes
) -> None:
    at_ns = timestamp_ns(event.event_time)
    state.task = WorkflowTask(
        scheduled_event_id=event.event_id,
        attempt=attributes.attempt,
        scheduled_at_ns=at_ns,
        first_scheduled_at_ns=at_ns,
        timeout_ns=duration_ns(attributes.start_to_close_timeout),
        sticky=attributes.task_queue.kind == STICKY,
    )


def workflow_task_started(
    state: RunState, event: HistoryEvent, attributes: WorkflowTaskStartedEventAttributes
) -> None:
    state.task = replace(
        state.task,
        started_event_id=event.event_id,
        started_at_ns=timestamp_ns(event.event_time),
        request_id=attributes.request_id,
        identity=attributes.identity,
        history_bytes=attributes.history_size_bytes,
        suggest_continue_as_new=attributes.suggest_continue_as_new,
    )


def workflow_task_completed(
    state: RunState, event: HistoryEvent, attributes: WorkflowTaskCompletedEventAttributes
) -> None:
    state.task = WorkflowTask()
    state.run.completed_started_event_id = attributes.started_event_id


def workflow_task_ended(
    state: RunState,
    event: HistoryEvent,
    attributes: WorkflowTaskFailedEventAttributes | WorkflowTaskTimedOutEventAttributes,
) -> None:
    """The next attempt's number is volatile: whoever schedules it sets it."""
    state.task = WorkflowTask()


WORKFLOW_TASK_EVENTS = {
    WorkflowTaskScheduledEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        "workflow_task_scheduled_event_attributes",
        False,
        workflow_task_scheduled,
    ),
    WorkflowTaskStartedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        "workflow_task_started_event_attributes",
        False,
        workflow_task_started,
    ),
    WorkflowTaskCompletedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        "workflow_task_completed_event_attributes",
        False,
        workflow_task_completed,
    ),
    WorkflowTaskFailedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        "workflow_task_failed_event_attributes",
        False,
        workflow_task_ended,
    ),
    WorkflowTaskTimedOutEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
        "workflow_task_timed_out_event_attributes",
        False,
        workflow_task_ended,
    ),
}
