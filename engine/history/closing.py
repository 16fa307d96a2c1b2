"""How a run ends: the close event, what is dropped with it, what follows it."""

from __future__ import annotations

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import RetryState, TimeoutType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import (
    WorkflowExecutionTerminatedEventAttributes,
    WorkflowExecutionTimedOutEventAttributes,
)

from engine.history import next_run, workflow_task
from engine.history.next_run import NextRun
from engine.history.protobuf import NANOSECONDS
from engine.history.transition import Transition
from engine.limits import HISTORY_BYTES_MAX, HISTORY_EVENT_COUNT_MAX

FORCE_CLOSE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND


def close(t: Transition, attributes: Message) -> None:
    """Append the close event; the run's rows go when its retention ends."""
    state = t.state
    t.append(attributes)
    state.volatile.backoff_until_ns = 0
    state.volatile.sticky_queue = ""
    state.add_deadline(t.now_ns + state.volatile.retention_ns, "retention")


def terminate(
    t: Transition, reason: str, details: Payloads | None = None, identity: str = ""
) -> None:
    _abandon_task(t)
    attributes = WorkflowExecutionTerminatedEventAttributes(reason=reason, identity=identity)
    if details is not None:
        attributes.details.CopyFrom(details)
    close(t, attributes)


def time_out(t: Transition) -> None:
    """The run's time is over, or the execution's, behind which no run follows."""
    _abandon_task(t)
    following = NextRun(RetryState.RETRY_STATE_TIMEOUT)
    if not 0 < t.state.run.execution_expires_at_ns <= t.now_ns:
        failure = Failure(message="workflow timeout", source="Server")
        failure.timeout_failure_info.timeout_type = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
        following = next_run.after_failure(t, failure)
        next_run.follow(t, following, result=None, failure=failure)
    close(
        t,
        WorkflowExecutionTimedOutEventAttributes(
            retry_state=following.retry_state, new_execution_run_id=following.run_id
        ),
    )


def enforce_history_limits(t: Transition) -> None:
    """A history past its hard limits ends its run, which tells why.

    Called wherever workers and clients add to a history, so that one whose workers are gone is
    bounded as well.
    """
    state = t.state
    if not state.is_open:
        return
    if state.run.next_event_id - 1 > HISTORY_EVENT_COUNT_MAX:
        terminate(t, f"history has more than {HISTORY_EVENT_COUNT_MAX} events")
    elif state.volatile.history_bytes > HISTORY_BYTES_MAX:
        terminate(t, f"history has more than {HISTORY_BYTES_MAX} bytes")


def expires_at_ns(t: Transition) -> int:
    """When the run times out; 0 means never."""
    run = t.state.run
    ends = [run.execution_expires_at_ns] if run.execution_expires_at_ns else []
    if run.run_timeout_ns:
        ends.append(run.execution_at_ns + run.run_timeout_ns)
    return min(ends, default=0)


def _abandon_task(t: Transition) -> None:
    if t.state.task.started_event_id:
        identity = workflow_task.ENGINE_IDENTITY
        workflow_task.fail(t, FORCE_CLOSE, None, identity, retry=False)
    t.flush_buffer()


def retention_ns(days: int) -> int:
    return days * 86_400 * NANOSECONDS
