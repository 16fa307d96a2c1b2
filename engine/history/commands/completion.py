"""Commands that close the run. They are refused while the workflow has not seen everything."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
)
from temporalio.api.enums.v1 import RetryState, WorkflowTaskFailedCause
from temporalio.api.history.v1 import (
    WorkflowExecutionCanceledEventAttributes,
    WorkflowExecutionCompletedEventAttributes,
    WorkflowExecutionFailedEventAttributes,
)

from engine.history import closing
from engine.history.commands.rejection import CommandRejected
from engine.history.transition import Transition

UNHANDLED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
BAD_FAIL = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES


def complete_workflow_execution(
    t: Transition,
    completed_event_id: int,
    command: Command,
    a: CompleteWorkflowExecutionCommandAttributes,
) -> None:
    refuse_unseen(t)
    attributes = WorkflowExecutionCompletedEventAttributes(
        workflow_task_completed_event_id=completed_event_id
    )
    if a.HasField("result"):
        attributes.result.CopyFrom(a.result)
    closing.close(t, attributes)


def fail_workflow_execution(
    t: Transition,
    completed_event_id: int,
    command: Command,
    a: FailWorkflowExecutionCommandAttributes,
) -> None:
    refuse_unseen(t)
    if not a.HasField("failure"):
        raise CommandRejected(BAD_FAIL, "failure is required")
    closing.close(
        t,
        WorkflowExecutionFailedEventAttributes(
            failure=a.failure,
            retry_state=RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET,
            workflow_task_completed_event_id=completed_event_id,
        ),
    )


def cancel_workflow_execution(
    t: Transition,
    completed_event_id: int,
    command: Command,
    a: CancelWorkflowExecutionCommandAttributes,
) -> None:
    refuse_unseen(t)
    attributes = WorkflowExecutionCanceledEventAttributes(
        workflow_task_completed_event_id=completed_event_id
    )
    if a.HasField("details"):
        attributes.details.CopyFrom(a.details)
    closing.close(t, attributes)


def refuse_unseen(t: Transition) -> None:
    """Nothing that reached the run may be lost by closing it."""
    if t.state.buffered:
        raise CommandRejected(UNHANDLED, "")
