"""Commands about activities."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    Command,
    RequestCancelActivityTaskCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
)
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import WorkflowTaskFailedCause as Cause
from temporalio.api.history.v1 import (
    ActivityTaskCanceledEventAttributes,
    ActivityTaskCancelRequestedEventAttributes,
    ActivityTaskScheduledEventAttributes,
    HistoryEvent,
)

from engine.history import activity, durations, priority, retry
from engine.history.commands.metadata import metadata_of
from engine.history.commands.rejection import CommandRejected
from engine.history.protobuf import duration_ns, to_duration
from engine.history.transition import OfferActivityTask, Transition
from engine.limits import ID_BYTES_MAX, PENDING_ACTIVITY_COUNT_MAX
from engine.metering.facts import FactKind

BAD_SCHEDULE = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
DUPLICATE = Cause.WORKFLOW_TASK_FAILED_CAUSE_SCHEDULE_ACTIVITY_DUPLICATE_ID
TOO_MANY = Cause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_ACTIVITIES_LIMIT_EXCEEDED
BAD_CANCEL = Cause.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES

TIMEOUTS = (
    "schedule_to_close_timeout",
    "schedule_to_start_timeout",
    "start_to_close_timeout",
    "heartbeat_timeout",
)
NOT_STARTED = Payloads(
    payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b'"ACTIVITY_ID_NOT_STARTED"')]
)


def schedule_activity_task(
    t: Transition,
    completed_event_id: int,
    command: Command,
    a: ScheduleActivityTaskCommandAttributes,
) -> None:
    _check(t, a)
    attributes = ActivityTaskScheduledEventAttributes(
        activity_id=a.activity_id,
        activity_type=a.activity_type,
        task_queue=a.task_queue,
        workflow_task_completed_event_id=completed_event_id,
        retry_policy=retry.with_defaults(a.retry_policy),
    )
    if not a.task_queue.name:
        attributes.task_queue.name = t.state.run.task_queue
    if a.HasField("header"):
        attributes.header.CopyFrom(a.header)
    if a.HasField("input"):
        attributes.input.CopyFrom(a.input)
    if a.HasField("priority") or t.state.run.priority:
        attributes.priority.CopyFrom(priority.merged(t.state.run.priority, a.priority))
    _set_timeouts(attributes, a, t.state.run.run_timeout_ns)
    event = t.append(attributes, metadata=metadata_of(command), fact=FactKind.ACTIVITY_SCHEDULED)
    activity.arm(t.state, t.state.activities[event.event_id])
    t.ask(OfferActivityTask(event.event_id, 1, attributes))


def request_cancel_activity_task(
    t: Transition,
    completed_event_id: int,
    command: Command,
    a: RequestCancelActivityTaskCommandAttributes,
) -> None:
    pending = t.state.activities.get(a.scheduled_event_id)
    if pending is None and not _close_is_buffered(t, a.scheduled_event_id):
        detail = f"no activity was scheduled by event {a.scheduled_event_id}, or it is closed"
        raise CommandRejected(BAD_CANCEL, detail)
    if pending is not None and pending.cancel_requested_event_id:
        detail = f"cancel of the activity of event {a.scheduled_event_id} is requested already"
        raise CommandRejected(BAD_CANCEL, detail)
    event = t.append(
        ActivityTaskCancelRequestedEventAttributes(
            scheduled_event_id=a.scheduled_event_id,
            workflow_task_completed_event_id=completed_event_id,
        ),
        metadata=metadata_of(command),
    )
    if pending is not None and not pending.attempt.started_at_ns:
        activity.note_end(t, pending, "cancel")
        t.defer(
            ActivityTaskCanceledEventAttributes(
                scheduled_event_id=a.scheduled_event_id,
                latest_cancel_requested_event_id=event.event_id,
                details=NOT_STARTED,
            )
        )


def _check(t: Transition, a: ScheduleActivityTaskCommandAttributes) -> None:
    for name, value in (("activity_id", a.activity_id), ("activity_type", a.activity_type.name)):
        if not value or len(value.encode()) > ID_BYTES_MAX:
            raise CommandRejected(BAD_SCHEDULE, f"{name} must have 1 to {ID_BYTES_MAX} bytes")
    if len(a.task_queue.name.encode()) > ID_BYTES_MAX:
        raise CommandRejected(BAD_SCHEDULE, f"task_queue has more than {ID_BYTES_MAX} bytes")
    for name in TIMEOUTS:
        if problem := durations.problem(getattr(a, name)):
            raise CommandRejected(BAD_SCHEDULE, f"{name} {problem}")
    if not duration_ns(a.schedule_to_close_timeout) and not duration_ns(a.start_to_close_timeout):
        detail = "set start_to_close_timeout or schedule_to_close_timeout"
        raise CommandRejected(BAD_SCHEDULE, detail)
    if problem := retry.problem(a.retry_policy):
        raise CommandRejected(BAD_SCHEDULE, f"retry_policy: {problem}")
    if problem := priority.problem(a.priority):
        raise CommandRejected(BAD_SCHEDULE, f"priority: {problem}")
    if a.activity_id in t.state.activity_ids:
        raise CommandRejected(DUPLICATE, f"activity {a.activity_id!r} is already pending")
    if len(t.state.activities) >= PENDING_ACTIVITY_COUNT_MAX:
        raise CommandRejected(TOO_MANY, f"more than {PENDING_ACTIVITY_COUNT_MAX} are pending")


def _set_timeouts(
    attributes: ActivityTaskScheduledEventAttributes,
    a: ScheduleActivityTaskCommandAttributes,
    run_ns: int,
) -> None:
    """Fill in all four timeouts, zero included: clients read them without asking."""
    close_ns = duration_ns(a.schedule_to_close_timeout)
    start_ns = duration_ns(a.schedule_to_start_timeout)
    work_ns = duration_ns(a.start_to_close_timeout)
    if close_ns:
        close_ns = min(close_ns, run_ns) if run_ns else close_ns
        start_ns = min(start_ns or close_ns, close_ns)
        work_ns = min(work_ns or close_ns, close_ns)
    else:
        close_ns = run_ns
        start_ns = min(start_ns or run_ns, run_ns) if run_ns else start_ns
        work_ns = min(work_ns, run_ns) if run_ns else work_ns
    attributes.schedule_to_close_timeout.CopyFrom(to_duration(close_ns))
    attributes.schedule_to_start_timeout.CopyFrom(to_duration(start_ns))
    attributes.start_to_close_timeout.CopyFrom(to_duration(work_ns))
    heartbeat_ns = min(duration_ns(a.heartbeat_timeout), work_ns)
    attributes.heartbeat_timeout.CopyFrom(to_duration(heartbeat_ns))


def _close_is_buffered(t: Transition, scheduled_event_id: int) -> bool:
    for row in t.state.buffered.values():
        event = HistoryEvent.FromString(row.partition(b"\0")[2])
        attributes = getattr(event, event.WhichOneof("attributes") or "")
        if getattr(attributes, "scheduled_event_id", 0) == scheduled_event_id:
            return True
    return False
