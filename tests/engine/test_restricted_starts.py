"""A call that may start nothing still reaches the runs that there are."""

from __future__ import annotations

from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy

from engine.call import Call
from engine.errors import StartRefused
from engine.handlers.handler import WORKFLOW_SERVICE
from tests.engine.cell import (
    NAMESPACE_ID,
    QUEUE,
    Cell,
    complete_workflow,
    continue_as_new,
    in_cell,
)

CONFLICT = WorkflowIdConflictPolicy
RESTRICTED = Call(NAMESPACE_ID, f"{NAMESPACE_ID}.acme").without_starts()


async def ask(cell: Cell, request: Any) -> Any:
    """As the door asks for a namespace whose starts are restricted."""
    name = type(request).__name__.removesuffix("Request")
    answer = getattr(w, f"{name}Response")
    asked = cell.node.call(WORKFLOW_SERVICE + name, request.SerializeToString(), RESTRICTED)
    return answer.FromString(await asked)


def start(**fields: Any) -> w.StartWorkflowExecutionRequest:
    request = w.StartWorkflowExecutionRequest(workflow_id="order-1", **fields)
    request.workflow_type.name, request.task_queue.name = "Order", QUEUE
    return request


def signal_with_start(**fields: Any) -> w.SignalWithStartWorkflowExecutionRequest:
    request = w.SignalWithStartWorkflowExecutionRequest(
        workflow_id="order-1", signal_name="paid", **fields
    )
    request.workflow_type.name, request.task_queue.name = "Order", QUEUE
    return request


@in_cell
async def test_neither_a_start_nor_a_signal_with_start_begins_a_run(cell: Cell) -> None:
    cell.is_emptied = True
    for request in (start(), signal_with_start()):
        with pytest.raises(StartRefused):
            await ask(cell, request)
    answer = await cell.ask(w.CountWorkflowExecutionsRequest())
    assert answer.count == 0


@in_cell
async def test_a_signal_with_start_signals_the_run_that_there_is(cell: Cell) -> None:
    run_id = await cell.start()
    answer = await ask(cell, signal_with_start())
    assert (answer.run_id, answer.started) == (run_id, False)
    assert "WorkflowExecutionSignaled" in await cell.events()


@in_cell
async def test_a_start_that_uses_the_open_run_or_is_repeated_is_answered(cell: Cell) -> None:
    run_id = await cell.start(request_id="r-1")
    use = start(workflow_id_conflict_policy=CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING)
    for request in (use, start(request_id="r-1")):
        assert (await ask(cell, request)).run_id == run_id


@in_cell
async def test_nothing_is_terminated_for_a_run_that_does_not_begin(cell: Cell) -> None:
    await cell.start()
    policy = CONFLICT.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    for make in (start, signal_with_start):
        with pytest.raises(StartRefused):
            await ask(cell, make(workflow_id_conflict_policy=policy))
    assert await cell.events() == ["WorkflowExecutionStarted", "WorkflowTaskScheduled"]


@in_cell
async def test_a_run_that_was_there_goes_on_as_new(cell: Cell) -> None:
    await cell.start()
    task = await cell.poll()
    await ask(
        cell,
        w.RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token, commands=[continue_as_new()]
        ),
    )
    task = await cell.poll()
    await ask(
        cell,
        w.RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token, commands=[complete_workflow()]
        ),
    )
    assert (await cell.events())[-1] == "WorkflowExecutionCompleted"
