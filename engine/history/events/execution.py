"""Events of the run itself: how it starts, what reaches it, how it closes."""

from __future__ import annotations

from google.protobuf.message import Message
from temporalio.api.enums.v1 import EventType, WorkflowExecutionStatus
from temporalio.api.history.v1 import (
    HistoryEvent,
    MarkerRecordedEventAttributes,
    UpsertWorkflowSearchAttributesEventAttributes,
    WorkflowExecutionCanceledEventAttributes,
    WorkflowExecutionCancelRequestedEventAttributes,
    WorkflowExecutionCompletedEventAttributes,
    WorkflowExecutionContinuedAsNewEventAttributes,
    WorkflowExecutionFailedEventAttributes,
    WorkflowExecutionSignaledEventAttributes,
    WorkflowExecutionStartedEventAttributes,
    WorkflowExecutionTerminatedEventAttributes,
    WorkflowExecutionTimedOutEventAttributes,
    WorkflowPropertiesModifiedEventAttributes,
)

from engine.history.event_kind import EventKind
from engine.history.payloads import merge_payloads, payload_bytes
from engine.history.protobuf import duration_ns, timestamp_ns
from engine.history.state import RunState

CLOSED_STATUS = {
    WorkflowExecutionCompletedEventAttributes: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
    ),
    WorkflowExecutionFailedEventAttributes: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED
    ),
    WorkflowExecutionCanceledEventAttributes: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED
    ),
    WorkflowExecutionTerminatedEventAttributes: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
    ),
    WorkflowExecutionContinuedAsNewEventAttributes: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
    ),
    WorkflowExecutionTimedOutEventAttributes: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT
    ),
}


def workflow_execution_started(
    state: RunState, event: HistoryEvent, attributes: WorkflowExecutionStartedEventAttributes
) -> None:
    run = state.run
    run.workflow_type = attributes.workflow_type.name
    run.task_queue = attributes.task_queue.name
    run.start_at_ns = timestamp_ns(event.event_time)
    run.execution_at_ns = run.start_at_ns + duration_ns(attributes.first_workflow_task_backoff)
    run.workflow_task_timeout_ns = duration_ns(attributes.workflow_task_timeout)
    run.run_timeout_ns = duration_ns(attributes.workflow_run_timeout)
    run.execution_timeout_ns = duration_ns(attributes.workflow_execution_timeout)
    if attributes.HasField("workflow_execution_expiration_time"):
        run.execution_expires_at_ns = timestamp_ns(attributes.workflow_execution_expiration_time)
    run.first_run_id = attributes.first_execution_run_id
    run.original_run_id = attributes.original_execution_run_id
    run.continued_run_id = attributes.continued_execution_run_id
    run.attempt = attributes.attempt
    run.memo = payload_bytes(attributes.memo.fields)
    run.search_attributes = payload_bytes(attributes.search_attributes.indexed_fields)
    run.priority = attributes.priority.SerializeToString()
    run.user_metadata = event.user_metadata.SerializeToString(deterministic=True)
    if attributes.HasField("retry_policy") or attributes.cron_schedule:
        state.put_started(attributes.SerializeToString(deterministic=True))


def workflow_execution_signaled(
    state: RunState, event: HistoryEvent, attributes: WorkflowExecutionSignaledEventAttributes
) -> None:
    state.run.signal_count += 1


def workflow_execution_cancel_requested(
    state: RunState,
    event: HistoryEvent,
    attributes: WorkflowExecutionCancelRequestedEventAttributes,
) -> None:
    state.run.cancel_requested = True


def workflow_execution_closed(state: RunState, event: HistoryEvent, attributes: Message) -> None:
    state.run.status = CLOSED_STATUS[type(attributes)]
    state.run.close_at_ns = timestamp_ns(event.event_time)
    state.run.new_run_id = getattr(attributes, "new_execution_run_id", "")
    state.drop_pending()


def upsert_workflow_search_attributes(
    state: RunState,
    event: HistoryEvent,
    attributes: UpsertWorkflowSearchAttributesEventAttributes,
) -> None:
    state.run.search_attributes = merge_payloads(
        state.run.search_attributes, attributes.search_attributes.indexed_fields
    )


def workflow_properties_modified(
    state: RunState, event: HistoryEvent, attributes: WorkflowPropertiesModifiedEventAttributes
) -> None:
    state.run.memo = merge_payloads(state.run.memo, attributes.upserted_memo.fields)


def marker_recorded(
    state: RunState, event: HistoryEvent, attributes: MarkerRecordedEventAttributes
) -> None:
    """Markers belong to the worker; the engine keeps them and reads nothing in them."""


EXECUTION_EVENTS = {
    WorkflowExecutionStartedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        "workflow_execution_started_event_attributes",
        False,
        workflow_execution_started,
    ),
    WorkflowExecutionSignaledEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        "workflow_execution_signaled_event_attributes",
        True,
        workflow_execution_signaled,
    ),
    WorkflowExecutionCancelRequestedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        "workflow_execution_cancel_requested_event_attributes",
        True,
        workflow_execution_cancel_requested,
    ),
    WorkflowExecutionCompletedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        "workflow_execution_completed_event_attributes",
        False,
        workflow_execution_closed,
    ),
    WorkflowExecutionFailedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        "workflow_execution_failed_event_attributes",
        False,
        workflow_execution_closed,
    ),
    WorkflowExecutionCanceledEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        "workflow_execution_canceled_event_attributes",
        False,
        workflow_execution_closed,
    ),
    WorkflowExecutionTerminatedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        "workflow_execution_terminated_event_attributes",
        False,
        workflow_execution_closed,
    ),
    WorkflowExecutionTimedOutEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        "workflow_execution_timed_out_event_attributes",
        False,
        workflow_execution_closed,
    ),
    WorkflowExecutionContinuedAsNewEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
        "workflow_execution_continued_as_new_event_attributes",
        False,
        workflow_execution_closed,
    ),
    MarkerRecordedEventAttributes: EventKind(
        EventType.EVENT_TYPE_MARKER_RECORDED,
        "marker_recorded_event_attributes",
        False,
        marker_recorded,
    ),
    UpsertWorkflowSearchAttributesEventAttributes: EventKind(
        EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        "upsert_workflow_search_attributes_event_attributes",
        False,
        upsert_workflow_search_attributes,
    ),
    WorkflowPropertiesModifiedEventAttributes: EventKind(
        EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED,
        "workflow_properties_modified_event_attributes",
        False,
        workflow_properties_modified,
    ),
}
