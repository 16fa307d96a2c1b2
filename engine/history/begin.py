"""The first events of a run: started by a client, or continued from the run before."""

from __future__ import annotations

from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
)

from engine.history import cron, retry, workflow_task
from engine.history.payloads import copy_payloads
from engine.history.protobuf import (
    NANOSECONDS,
    duration_ns,
    to_duration,
    to_timestamp,
)
from engine.history.state import RunState
from engine.history.transition import Transition
from engine.limits import WORKFLOW_TASK_TIMEOUT_SECONDS, WORKFLOW_TASK_TIMEOUT_SECONDS_MAX
from engine.metering.facts import FactKind

StartRequest = StartWorkflowExecutionRequest | SignalWithStartWorkflowExecutionRequest


def from_request(t: Transition, request: StartRequest, fact: FactKind | None) -> None:
    """Write the started event that a client's request asks for."""
    attributes = WorkflowExecutionStartedEventAttributes(
        workflow_type=request.workflow_type,
        task_queue=request.task_queue,
        identity=request.identity,
        original_execution_run_id=t.state.key.run_id,
        first_execution_run_id=t.state.key.run_id,
        attempt=1,
        workflow_id=request.workflow_id,
    )
    if request.HasField("input"):
        attributes.input.CopyFrom(request.input)
    if request.HasField("header"):
        attributes.header.CopyFrom(request.header)
    if request.HasField("priority"):
        attributes.priority.CopyFrom(request.priority)
    copy_payloads(attributes.memo.fields, request.memo.fields)
    copy_payloads(
        attributes.search_attributes.indexed_fields, request.search_attributes.indexed_fields
    )
    backoff_ns = duration_ns(request.workflow_start_delay)
    if request.cron_schedule:
        attributes.cron_schedule = request.cron_schedule
        backoff_ns = cron.parse(request.cron_schedule).next_ns(t.now_ns, t.now_ns) - t.now_ns
    execution_ns = duration_ns(request.workflow_execution_timeout)
    if execution_ns:
        attributes.workflow_execution_timeout.CopyFrom(request.workflow_execution_timeout)
        expires = to_timestamp(t.now_ns + backoff_ns + execution_ns)
        attributes.workflow_execution_expiration_time.CopyFrom(expires)
    run_ns = _shorter(duration_ns(request.workflow_run_timeout), execution_ns)
    if run_ns:
        attributes.workflow_run_timeout.CopyFrom(to_duration(run_ns))
    task_ns = task_timeout_ns(duration_ns(request.workflow_task_timeout), run_ns)
    attributes.workflow_task_timeout.CopyFrom(to_duration(task_ns))
    if backoff_ns:
        attributes.first_workflow_task_backoff.CopyFrom(to_duration(backoff_ns))
    if request.HasField("retry_policy"):
        attributes.retry_policy.CopyFrom(retry.with_defaults(request.retry_policy))
    t.state.volatile.start_request_id = request.request_id
    metadata = request.user_metadata if request.HasField("user_metadata") else None
    write_started(t, attributes, metadata, fact)


def write_started(
    t: Transition,
    attributes: WorkflowExecutionStartedEventAttributes,
    metadata: UserMetadata | None,
    fact: FactKind | None,
) -> None:
    """Append the started event and arm what follows from it; the first task comes later."""
    state = t.state
    t.append(attributes, metadata=metadata)
    is_delayed = state.run.execution_at_ns > state.run.start_at_ns
    if fact is not None:
        # Behind a delayed start a signal may come next, as behind a signal-with-start.
        t.count(fact, on_run=is_delayed and fact == FactKind.WORKFLOW_STARTED)
    if is_delayed:
        state.volatile.backoff_until_ns = state.run.execution_at_ns
    arm(state)


def arm(state: RunState) -> None:
    """Put the run's own deadlines on its heap."""
    run = state.run
    if state.volatile.backoff_until_ns:
        state.add_deadline(state.volatile.backoff_until_ns, "backoff")
    if run.run_timeout_ns:
        state.add_deadline(run.execution_at_ns + run.run_timeout_ns, "run")
    if run.execution_expires_at_ns:
        state.add_deadline(run.execution_expires_at_ns, "run")


def first_task(t: Transition) -> None:
    """Schedule the first workflow task, unless the run begins with a backoff."""
    workflow_task.schedule(t)


def task_timeout_ns(requested_ns: int, run_ns: int) -> int:
    """A workflow task's time: the requested one within its bounds, never beyond the run's."""
    timeout_ns = requested_ns or WORKFLOW_TASK_TIMEOUT_SECONDS * NANOSECONDS
    return _shorter(min(timeout_ns, WORKFLOW_TASK_TIMEOUT_SECONDS_MAX * NANOSECONDS), run_ns)


def _shorter(first_ns: int, second_ns: int) -> int:
    """The smaller of two durations where 0 means none."""
    return min(first_ns, second_ns) if first_ns and second_ns else first_ns or second_ns
