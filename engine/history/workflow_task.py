"""The life of a workflow task: scheduled, started, then completed, failed or timed out.

Kinds: a *normal* task (attempt 1) has its events written as they happen; a *transient* one
(attempt 2 on) writes them only when it completes, so that a failing workflow does not grow its
history.
"""

from __future__ import annotations

from msgspec.structs import replace
from temporalio.api.enums.v1 import (
    EventType,
    SuggestContinueAsNewReason,
    TaskQueueKind,
    TimeoutType,
    WorkflowTaskFailedCause,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import (
    HistoryEvent,
    WorkflowTaskCompletedEventAttributes,
    WorkflowTaskFailedEventAttributes,
    WorkflowTaskScheduledEventAttributes,
    WorkflowTaskStartedEventAttributes,
    WorkflowTaskTimedOutEventAttributes,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from engine.history.protobuf import NANOSECONDS, set_timestamp, to_duration
from engine.history.state import RunState, WorkflowTask
from engine.history.transition import OfferWorkflowTask, Transition
from engine.limits import (
    HISTORY_BYTES_SUGGEST_CONTINUE,
    HISTORY_EVENT_COUNT_SUGGEST_CONTINUE,
    WORKFLOW_TASK_ATTEMPTS_BEFORE_BACKOFF,
    WORKFLOW_TASK_BACKOFF_SECONDS,
    WORKFLOW_TASK_BACKOFF_SECONDS_MAX,
)

STICKY = TaskQueueKind.TASK_QUEUE_KIND_STICKY
NORMAL = TaskQueueKind.TASK_QUEUE_KIND_NORMAL
ENGINE_IDENTITY = "history-service"


def schedule(t: Transition, attempt: int = 1, first_scheduled_at_ns: int = 0) -> None:
    """Schedule a workflow task unless one is outstanding, the run is closed or backs off."""
    state = t.state
    if not state.is_open or state.task.scheduled_event_id or state.volatile.backoff_until_ns:
        return
    if attempt == 1:
        t.append(_scheduled_attributes(state, attempt, _timeout_ns(state, attempt), normal=False))
    else:
        state.task = WorkflowTask(
            scheduled_event_id=state.run.next_event_id,
            attempt=attempt,
            scheduled_at_ns=t.now_ns,
            timeout_ns=_timeout_ns(state, attempt),
        )
    state.task = replace(state.task, first_scheduled_at_ns=first_scheduled_at_ns or t.now_ns)
    arm(state)
    t.ask(OfferWorkflowTask(state.task.scheduled_event_id))


def arm(state: RunState) -> None:
    """Put the outstanding task's deadline on the run's heap."""
    task = state.task
    name = f"{task.scheduled_event_id}.{task.attempt}"
    if task.started_event_id:
        state.add_deadline(task.started_at_ns + task.timeout_ns, "task", name)
    elif task.sticky:
        at_ns = task.scheduled_at_ns + state.volatile.sticky_timeout_ns
        state.add_deadline(at_ns, "sticky", name)


def use_normal_queue(state: RunState) -> None:
    """The sticky worker is gone: the waiting task goes to any worker of the normal queue."""
    state.volatile.sticky_queue = ""
    state.task = replace(state.task, sticky=False)


def start(t: Transition, identity: str, request_id: str) -> None:
    """A worker takes the scheduled task."""
    state = t.state
    task = state.task
    if task.attempt > 1 and task.scheduled_event_id != state.run.next_event_id:
        # Something was recorded since: the task has news to show, so it counts as a first one.
        first_at_ns = task.first_scheduled_at_ns
        state.task = WorkflowTask()
        t.append(_scheduled_attributes(state, 1, _timeout_ns(state, 1), normal=True))
        task = replace(state.task, first_scheduled_at_ns=first_at_ns)
        state.task = task
    size = state.volatile.history_bytes
    suggest = (
        state.run.next_event_id >= HISTORY_EVENT_COUNT_SUGGEST_CONTINUE
        or size >= HISTORY_BYTES_SUGGEST_CONTINUE
    )
    if task.attempt == 1:
        first_at_ns = task.first_scheduled_at_ns
        t.append(
            _started_attributes(
                replace(
                    task,
                    identity=identity,
                    request_id=request_id,
                    history_bytes=size,
                    suggest_continue_as_new=suggest,
                )
            )
        )
        state.task = replace(state.task, first_scheduled_at_ns=first_at_ns)
    else:
        state.task = replace(
            task,
            started_event_id=task.scheduled_event_id + 1,
            started_at_ns=t.now_ns,
            identity=identity,
            request_id=request_id,
            history_bytes=size,
            suggest_continue_as_new=suggest,
        )
    arm(state)


def complete(t: Transition, request: RespondWorkflowTaskCompletedRequest) -> int:
    """Write the completion (and a transient task's own two events); returns its event id."""
    task = t.state.task
    if task.attempt > 1:
        attributes = _scheduled_attributes(t.state, task.attempt, task.timeout_ns, normal=True)
        t.append(attributes, at_ns=task.scheduled_at_ns)
        t.append(_started_attributes(task), at_ns=task.started_at_ns)
    completed = WorkflowTaskCompletedEventAttributes(
        scheduled_event_id=task.scheduled_event_id,
        started_event_id=task.started_event_id,
        identity=request.identity,
        binary_checksum=request.binary_checksum,
    )
    if request.HasField("worker_version_stamp"):
        completed.worker_version.CopyFrom(request.worker_version_stamp)
    if request.HasField("sdk_metadata"):
        completed.sdk_metadata.CopyFrom(request.sdk_metadata)
    if request.HasField("metering_metadata"):
        completed.metering_metadata.CopyFrom(request.metering_metadata)
    return t.append(completed).event_id


def fail(
    t: Transition,
    cause: WorkflowTaskFailedCause.ValueType,
    failure: Failure | None,
    identity: str,
    *,
    retry: bool = True,
) -> None:
    """The started task failed; the next attempt is scheduled unless the run is closing."""
    task = t.state.task
    if task.attempt == 1:
        failed = WorkflowTaskFailedEventAttributes(
            scheduled_event_id=task.scheduled_event_id,
            started_event_id=task.started_event_id,
            cause=cause,
            identity=identity,
        )
        if failure is not None:
            failed.failure.CopyFrom(failure)
        t.append(failed)
    _end(t, task, retry=retry)


def time_out(t: Transition) -> None:
    """The worker did not answer in time."""
    task = t.state.task
    if task.attempt == 1:
        t.append(
            WorkflowTaskTimedOutEventAttributes(
                scheduled_event_id=task.scheduled_event_id,
                started_event_id=task.started_event_id,
                timeout_type=TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE,
            )
        )
    _end(t, task, retry=True)


def time_out_sticky(t: Transition) -> None:
    """The sticky worker did not come for its task: it goes to the normal queue."""
    task = t.state.task
    t.append(
        WorkflowTaskTimedOutEventAttributes(
            scheduled_event_id=task.scheduled_event_id,
            timeout_type=TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START,
        )
    )
    t.state.volatile.sticky_queue = ""
    schedule(t, task.attempt)


def virtual_events(state: RunState) -> list[HistoryEvent]:
    """The two events of a transient task, as a worker must see them behind the written ones."""
    task = state.task
    if task.attempt == 1 or not task.started_event_id:
        return []
    scheduled = HistoryEvent(
        event_id=task.scheduled_event_id, event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    )
    set_timestamp(scheduled.event_time, task.scheduled_at_ns)
    scheduled.workflow_task_scheduled_event_attributes.CopyFrom(
        _scheduled_attributes(state, task.attempt, task.timeout_ns, normal=True)
    )
    started = HistoryEvent(
        event_id=task.started_event_id, event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
    )
    set_timestamp(started.event_time, task.started_at_ns)
    started.workflow_task_started_event_attributes.CopyFrom(_started_attributes(task))
    return [scheduled, started]


def _end(t: Transition, task: WorkflowTask, *, retry: bool) -> None:
    state = t.state
    state.task = WorkflowTask()
    attempt = 1 if state.volatile.sticky_queue else task.attempt + 1
    state.volatile.sticky_queue = ""
    if t.flush_buffer():
        attempt = 1
    if retry:
        schedule(t, attempt)


def _timeout_ns(state: RunState, attempt: int) -> int:
    timeout_ns = state.run.workflow_task_timeout_ns
    if attempt > WORKFLOW_TASK_ATTEMPTS_BEFORE_BACKOFF:
        doublings = min(attempt - WORKFLOW_TASK_ATTEMPTS_BEFORE_BACKOFF - 1, 16)
        backoff = WORKFLOW_TASK_BACKOFF_SECONDS * 2**doublings
        timeout_ns += min(backoff, WORKFLOW_TASK_BACKOFF_SECONDS_MAX) * NANOSECONDS
    return timeout_ns


def _scheduled_attributes(
    state: RunState, attempt: int, timeout_ns: int, *, normal: bool
) -> WorkflowTaskScheduledEventAttributes:
    sticky = "" if normal or attempt > 1 else state.volatile.sticky_queue
    queue = TaskQueue(
        name=sticky or state.run.task_queue,
        kind=STICKY if sticky else NORMAL,
        normal_name=state.run.task_queue if sticky else "",
    )
    return WorkflowTaskScheduledEventAttributes(
        task_queue=queue, start_to_close_timeout=to_duration(timeout_ns), attempt=attempt
    )


def _started_attributes(task: WorkflowTask) -> WorkflowTaskStartedEventAttributes:
    attributes = WorkflowTaskStartedEventAttributes(
        scheduled_event_id=task.scheduled_event_id,
        identity=task.identity,
        request_id=task.request_id,
        history_size_bytes=task.history_bytes,
        suggest_continue_as_new=task.suggest_continue_as_new,
    )
    if task.suggest_continue_as_new:
        attributes.suggest_continue_as_new_reasons.append(
            SuggestContinueAsNewReason.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS
        )
    return attributes
