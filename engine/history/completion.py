"""What a workflow task's completion does to the run: commands, then what waited, then the next."""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from engine.history import closing, workflow_task
from engine.history.commands import run_command
from engine.history.commands.rejection import CommandRejected
from engine.history.protobuf import NANOSECONDS, duration_ns
from engine.history.transition import Transition
from engine.limits import (
    LOCAL_ACTIVITY_RETRY_COUNT_MAX,
    PAYLOAD_BYTES_MAX,
    WORKFLOW_TASK_HEARTBEAT_SECONDS_MAX,
)
from engine.metering.facts import FactKind

TOO_LARGE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE
UNHANDLED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND


def is_heartbeat(request: RespondWorkflowTaskCompletedRequest) -> bool:
    """Whether the worker only asks for more time."""
    return request.force_create_new_workflow_task and not request.commands


def heartbeat_expired(t: Transition) -> bool:
    limit_ns = WORKFLOW_TASK_HEARTBEAT_SECONDS_MAX * NANOSECONDS
    return t.now_ns - t.state.task.first_scheduled_at_ns > limit_ns


def complete(t: Transition, request: RespondWorkflowTaskCompletedRequest) -> None:
    """Carry out the completion. Raises CommandRejected; the caller undoes the transition."""
    state = t.state
    first_scheduled_at_ns = state.task.first_scheduled_at_ns if is_heartbeat(request) else 0
    completed_event_id = workflow_task.complete(t, request)
    sticky = request.sticky_attributes
    state.volatile.sticky_queue = sticky.worker_task_queue.name
    state.volatile.sticky_timeout_ns = duration_ns(sticky.schedule_to_start_timeout)
    for index, command in enumerate(request.commands):
        if command.ByteSize() > PAYLOAD_BYTES_MAX:
            detail = f"commands[{index}] has more than {PAYLOAD_BYTES_MAX} bytes"
            raise CommandRejected(TOO_LARGE, detail)
        run_command(t, completed_event_id, command)
    retries = request.metering_metadata.nonfirst_local_activity_execution_attempts
    if retries:
        t.count(FactKind.LOCAL_ACTIVITY_RETRIED, min(retries, LOCAL_ACTIVITY_RETRY_COUNT_MAX))
    if is_heartbeat(request):
        t.count(FactKind.WORKFLOW_TASK_HEARTBEAT)
    if not state.is_open:
        return
    if t.flush_buffer() or request.force_create_new_workflow_task:
        workflow_task.schedule(t, first_scheduled_at_ns=first_scheduled_at_ns)
    closing.enforce_history_limits(t)


def reject(t: Transition, rejection: CommandRejected, identity: str) -> None:
    """Fail the task for its bad command; from attempt 2 on it is left to time out."""
    if t.state.task.attempt > 1 and rejection.cause != UNHANDLED:
        return
    failure = Failure(message=rejection_text(rejection), source="Server")
    failure.server_failure_info.non_retryable = True
    workflow_task.fail(t, rejection.cause, failure, identity)


def rejection_text(rejection: CommandRejected) -> str:
    """`UnhandledCommand`, or `BadStartTimerAttributes: timer_id must …`."""
    name = WorkflowTaskFailedCause.Name(rejection.cause)
    words = name.removeprefix("WORKFLOW_TASK_FAILED_CAUSE_").split("_")
    cause = "".join(word.capitalize() for word in words)
    return f"{cause}: {rejection.detail}" if rejection.detail else cause
