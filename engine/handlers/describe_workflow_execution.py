"""DescribeWorkflowExecution."""

from __future__ import annotations

from temporalio.api.enums.v1 import PendingActivityState, PendingWorkflowTaskState, TaskQueueKind
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import visibility
from engine.history.activity import policy_of
from engine.history.protobuf import set_timestamp, to_duration
from engine.history.state import Activity, RunState
from engine.limits import FAILURE_BYTES_SHOWN_MAX
from engine.visibility.listed_run import execution_info


async def handle(
    services: Services, request: DescribeWorkflowExecutionRequest, call: Call
) -> DescribeWorkflowExecutionResponse:
    execution = request.execution
    shard, run = await services.run(call.namespace_id, execution.workflow_id, execution.run_id)
    state = run.state
    answer = DescribeWorkflowExecutionResponse(workflow_execution_info=_info(state))
    _add_config(answer, state)
    _add_extended(answer, state)
    for activity in state.activities.values():
        answer.pending_activities.append(_pending_activity(activity))
    _add_pending_task(answer, state)
    await shard.durable(run)
    return answer


def _info(state: RunState) -> WorkflowExecutionInfo:
    info = execution_info(visibility.visibility_row(state))
    info.first_run_id = state.run.first_run_id
    return info


def _add_config(answer: DescribeWorkflowExecutionResponse, state: RunState) -> None:
    run, config = state.run, answer.execution_config
    config.task_queue.name = run.task_queue
    config.task_queue.kind = TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    config.workflow_execution_timeout.CopyFrom(to_duration(run.execution_timeout_ns))
    config.workflow_run_timeout.CopyFrom(to_duration(run.run_timeout_ns))
    config.default_workflow_task_timeout.CopyFrom(to_duration(run.workflow_task_timeout_ns))
    if run.user_metadata:
        config.user_metadata.ParseFromString(run.user_metadata)


def _add_extended(answer: DescribeWorkflowExecutionResponse, state: RunState) -> None:
    run, extended = state.run, answer.workflow_extended_info
    extended.cancel_requested = run.cancel_requested
    set_timestamp(extended.original_start_time, run.start_at_ns)
    if run.execution_expires_at_ns:
        set_timestamp(extended.execution_expiration_time, run.execution_expires_at_ns)
    if run.run_timeout_ns:
        set_timestamp(extended.run_expiration_time, run.execution_at_ns + run.run_timeout_ns)


def _add_pending_task(answer: DescribeWorkflowExecutionResponse, state: RunState) -> None:
    task = state.task
    if not task.scheduled_event_id:
        return
    pending = answer.pending_workflow_task
    pending.attempt = task.attempt
    set_timestamp(pending.scheduled_time, task.scheduled_at_ns)
    set_timestamp(pending.original_scheduled_time, task.first_scheduled_at_ns)
    pending.state = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
    if task.started_event_id:
        pending.state = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
        set_timestamp(pending.started_time, task.started_at_ns)


def _pending_activity(activity: Activity) -> PendingActivityInfo:
    attempt, policy = activity.attempt, policy_of(activity)
    info = PendingActivityInfo(
        activity_id=activity.activity_id,
        attempt=attempt.number,
        maximum_attempts=policy.maximum_attempts,
        last_worker_identity=attempt.identity or attempt.last_identity,
        state=_state(activity),
    )
    info.activity_type.name = activity.activity_type
    set_timestamp(info.scheduled_time, attempt.scheduled_at_ns)
    if activity.schedule_to_close_ns:
        expires_at_ns = activity.scheduled_at_ns + activity.schedule_to_close_ns
        set_timestamp(info.expiration_time, expires_at_ns)
    if attempt.started_at_ns:
        set_timestamp(info.last_started_time, attempt.started_at_ns)
    elif attempt.number > 1:
        set_timestamp(info.next_attempt_schedule_time, attempt.scheduled_at_ns)
        waited_ns = attempt.scheduled_at_ns - attempt.last_completed_at_ns
        info.current_retry_interval.CopyFrom(to_duration(waited_ns))
    if attempt.heartbeat_at_ns:
        set_timestamp(info.last_heartbeat_time, attempt.heartbeat_at_ns)
    if attempt.heartbeat_details:
        info.heartbeat_details.ParseFromString(attempt.heartbeat_details)
    if attempt.last_completed_at_ns:
        set_timestamp(info.last_attempt_complete_time, attempt.last_completed_at_ns)
    if attempt.last_failure:
        info.last_failure.CopyFrom(_shown(attempt.last_failure))
    return info


def _state(activity: Activity) -> PendingActivityState.ValueType:
    if activity.cancel_requested_event_id:
        return PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
    if activity.attempt.started_at_ns:
        return PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    return PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED


def _shown(encoded: bytes) -> Failure:
    """The failure, without its long parts where it is too long to be looked at."""
    failure = Failure.FromString(encoded)
    if len(encoded) > FAILURE_BYTES_SHOWN_MAX:
        failure.message = failure.message[: FAILURE_BYTES_SHOWN_MAX // 2]
        failure.stack_trace = failure.stack_trace[: FAILURE_BYTES_SHOWN_MAX // 2]
        failure.ClearField("cause")
    return failure


HANDLER = Handler(
    WORKFLOW_SERVICE + "DescribeWorkflowExecution",
    DescribeWorkflowExecutionRequest,
    routing.by_execution("execution"),
    handle,
)
