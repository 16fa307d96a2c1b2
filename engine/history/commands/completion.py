"""Commands that close the run. They are refused while the workflow has not seen everything."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
)
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import (
    WorkflowExecutionCanceledEventAttributes,
    WorkflowExecutionCompletedEventAttributes,
    WorkflowExecutionFailedEventAttributes,
)

from engine.history import closing, next_run
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
    result = a.result if a.HasField("result") else None
    following = next_run.after_completion(t)
    next_run.follow(t, following, result=result, failure=None)
    attributes = WorkflowExecutionCompletedEventAttributes(
        workflow_task_completed_event_id=completed_event_id,
        result=result,
        new_execution_run_id=following.run_id,
    )
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
    following = next_run.after_failure(t, a.failure)
    next_run.follow(t, following, result=None, failure=a.failure)
    closing.close(
        t,
        WorkflowExecutionFailedEventAttributes(
            failure=a.failure,
            retry_state=following.retry_state,
            workflow_task_completed_event_id=completed_event_id,
            new_execution_run_id=following.run_id,
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
