"""What tests of chains of runs share: policies, failures, and tasks that come late."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import (
    ContinueAsNewInitiator,
    WorkflowExecutionStatus,
)
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes

from engine.persistence.protocols import ItemKind, RunKey
from tests.engine.cell import (
    NAMESPACE_ID,
    Cell,
    fail_workflow,
)

INITIATOR = ContinueAsNewInitiator
STATUS = WorkflowExecutionStatus
EVERY_MINUTE = "* * * * *"


def policy(**fields: Any) -> RetryPolicy:
    """One that waits ten seconds, then twenty, then forty."""
    return RetryPolicy(initial_interval=Duration(seconds=10), **fields)


def failing(type_name: str = "OutOfStock", **fields: Any) -> Command:
    command = fail_workflow()
    failure = command.fail_workflow_execution_command_attributes.failure
    failure.application_failure_info.type = type_name
    if "next_retry_delay" in fields:
        failure.application_failure_info.next_retry_delay.FromTimedelta(fields["next_retry_delay"])
    failure.application_failure_info.non_retryable = fields.get("non_retryable", False)
    return command


def started_of(task: Any) -> WorkflowExecutionStartedEventAttributes:
    event: HistoryEvent = task.history.events[0]
    return event.workflow_execution_started_event_attributes


async def began(cell: Cell) -> tuple[HistoryEvent, WorkflowExecutionStartedEventAttributes]:
    """The first event of the current run."""
    event = (await cell.history())[0]
    return event, event.workflow_execution_started_event_attributes


async def due(cell: Cell, *commands: Command) -> Any:
    """Complete the next workflow task, however long it takes to come; the task."""
    while not (task := await cell.poll()).task_token:
        pass
    await cell.complete(task, *commands)
    return task


async def kept_of(cell: Cell, workflow_id: str) -> bytes:
    """How the run began, as its rows keep it."""
    run_id = (await cell.describe(workflow_id)).workflow_execution_info.execution.run_id
    (stored,) = await cell.store.load([RunKey(NAMESPACE_ID, workflow_id, run_id)])
    assert stored is not None
    return stored.items.get((ItemKind.STARTED, ""), b"")
