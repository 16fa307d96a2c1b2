"""Whether a workflow id may be started: request ids, conflict policies, reuse policies."""

from __future__ import annotations

from typing import NamedTuple

from temporalio.api.enums.v1 import (
    WorkflowExecutionStatus,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)

from engine.cell.loaded_run import LoadedRun
from engine.errors import InvalidArgument, WorkflowAlreadyStarted
from engine.history.begin import StartRequest

REUSE = WorkflowIdReusePolicy
CONFLICT = WorkflowIdConflictPolicy
FAILED_STATUSES = frozenset(
    {
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT,
    }
)


class Policies(NamedTuple):
    """A request's policies with their defaults filled in."""

    reuse: WorkflowIdReusePolicy.ValueType
    conflict: WorkflowIdConflictPolicy.ValueType


class Decision(NamedTuple):
    """`use`: answer with the current run. Otherwise start, after terminating it if told to."""

    use: bool = False
    deduplicated: bool = False
    terminate: bool = False


def policies_of(request: StartRequest, default: WorkflowIdConflictPolicy.ValueType) -> Policies:
    """Raises InvalidArgument for policies that contradict each other."""
    reuse, conflict = request.workflow_id_reuse_policy, request.workflow_id_conflict_policy
    if reuse == REUSE.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING:
        if conflict:
            raise InvalidArgument(
                "workflow_id_reuse_policy TERMINATE_IF_RUNNING cannot be combined with"
                " workflow_id_conflict_policy; use conflict policy TERMINATE_EXISTING alone",
                "workflow_id_conflict_policy",
            )
        return Policies(
            REUSE.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
            CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
        )
    if (
        reuse == REUSE.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
        and conflict == CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    ):
        raise InvalidArgument(
            "workflow_id_reuse_policy REJECT_DUPLICATE contradicts"
            " workflow_id_conflict_policy TERMINATE_EXISTING",
            "workflow_id_conflict_policy",
        )
    return Policies(reuse or REUSE.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, conflict or default)


def decide(current: LoadedRun | None, policies: Policies, request_id: str) -> Decision:
    """What a start does, given the id's current run. Raises WorkflowAlreadyStarted."""
    if current is None:
        return Decision()
    state = current.state
    if state.volatile.start_request_id == request_id:
        return Decision(use=True, deduplicated=True)
    if state.is_open:
        if policies.conflict == CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING:
            return Decision(use=True)
        if policies.conflict == CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING:
            return Decision(terminate=True)
        raise _taken(current, "Workflow execution is already running.")
    if policies.reuse == REUSE.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
        raise _taken(current, "Workflow execution already finished; its id may not be reused.")
    if (
        policies.reuse == REUSE.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
        and state.run.status not in FAILED_STATUSES
    ):
        raise _taken(current, "Workflow execution already finished successfully.")
    return Decision()


def _taken(current: LoadedRun, what: str) -> WorkflowAlreadyStarted:
    key = current.key
    return WorkflowAlreadyStarted(
        f"{what} WorkflowId: {key.workflow_id}, RunId: {key.run_id}.",
        start_request_id=current.state.volatile.start_request_id,
        run_id=key.run_id,
        first_run_id=current.state.run.first_run_id,
    )
