"""How runs leave: by retention and by deletion; what of them stays."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import temporalio.api.workflowservice.v1 as w

from engine.errors import NotFound
from engine.handlers.handler import TASK_SERVICE
from engine.persistence.protocols import HistoryBatch, RunKey
from engine.protocol.tasks_pb2 import ListRunSummariesRequest, ListRunSummariesResponse
from tests.engine.cell import (
    RETENTION,
    Cell,
    complete_workflow,
    continue_as_new,
    in_cell,
    schedule_activity,
    soon,
)

MINUTE = timedelta(minutes=1)


async def delete(cell: Cell, workflow_id: str = "order-1", run_id: str = "") -> None:
    request = w.DeleteWorkflowExecutionRequest()
    request.workflow_execution.workflow_id = workflow_id
    request.workflow_execution.run_id = run_id
    await cell.ask(request)


async def listed(cell: Cell) -> list[str]:
    answer = await cell.ask(w.ListWorkflowExecutionsRequest())
    return [info.execution.workflow_id for info in answer.executions]


async def summed_up(cell: Cell) -> list[str]:
    answer = await cell.rpc(
        TASK_SERVICE + "ListRunSummaries", ListRunSummariesRequest(), ListRunSummariesResponse
    )
    return [summary.execution.workflow_id for summary in answer.summaries]


@in_cell
async def test_a_closed_run_is_kept_for_its_retention_and_no_longer(cell: Cell) -> None:
    await cell.start()
    await cell.step(complete_workflow())
    await cell.start("still-open")
    await cell.sleep_without_node(RETENTION - MINUTE)
    assert (await cell.events())[-1] == "WorkflowExecutionCompleted"
    await cell.sleep_without_node(MINUTE)
    await cell.start("another")
    with pytest.raises(NotFound):
        await cell.describe()
    with pytest.raises(NotFound):
        await cell.history()
    assert sorted(await listed(cell)) == ["another", "still-open"]
    assert await summed_up(cell) == ["order-1"]


@in_cell
async def test_each_run_of_a_chain_has_its_own_retention(cell: Cell) -> None:
    first = await cell.start()
    await cell.step(continue_as_new())
    await cell.sleep_without_node(timedelta(days=1))
    await cell.step(complete_workflow())
    await cell.sleep_without_node(RETENTION - timedelta(days=1) + MINUTE)
    assert (await cell.events())[-1] == "WorkflowExecutionCompleted"
    with pytest.raises(NotFound):
        await cell.describe(run_id=first)


@in_cell
async def test_a_deleted_run_is_gone_and_its_id_is_free(cell: Cell) -> None:
    await cell.start()
    await cell.step(complete_workflow())
    await delete(cell)
    with pytest.raises(NotFound):
        await cell.describe()
    assert await listed(cell) == []
    await cell.start()
    assert await cell.events() == ["WorkflowExecutionStarted", "WorkflowTaskScheduled"]


@in_cell
async def test_an_open_run_that_is_deleted_ends_its_work(cell: Cell) -> None:
    await cell.start("law-abiding")
    await cell.start()
    tasks = [await cell.poll(), await cell.poll()]
    (task,) = (each for each in tasks if each.workflow_execution.workflow_id == "order-1")
    await cell.complete(task, schedule_activity())
    activity = await cell.poll_activity()
    await delete(cell)
    with pytest.raises(NotFound):
        await cell.complete_activity(activity)
    assert await listed(cell) == ["law-abiding"]
    await cell.crash_and_restart()
    with pytest.raises(NotFound):
        await cell.signal("paid")


@in_cell
async def test_a_run_that_is_deleted_behind_a_commit_under_way_does_not_come_back(
    cell: Cell,
) -> None:
    await cell.start("law-abiding")
    await cell.start()
    first = cell.hold_commits()
    signaled, deleted = await soon(cell.signal("paid")), await soon(delete(cell))
    second = cell.hold_commits()
    first.set()
    await signaled
    # The deletion is decided, not yet written: the store still has the run.
    late = await soon(cell.signal("late"))
    await asyncio.sleep(1)
    second.set()
    await deleted
    with pytest.raises(NotFound):
        await late
    assert await listed(cell) == ["law-abiding"]
    await cell.crash_and_restart()
    with pytest.raises(NotFound):
        await cell.signal("paid")


@in_cell
async def test_a_history_whose_run_is_deleted_while_it_is_read_is_not_there(cell: Cell) -> None:
    await cell.start("law-abiding")
    await cell.start()
    await cell.crash_and_restart()
    await cell.describe()
    released, read = asyncio.Event(), cell.store.read_history

    async def slowly(
        key: RunKey, first_event_id: int, last_event_id: int, bytes_max: int
    ) -> list[HistoryBatch]:
        await released.wait()
        return await read(key, first_event_id, last_event_id, bytes_max)

    cell.store.read_history = slowly  # type: ignore[method-assign]
    asked = await soon(cell.history())
    await delete(cell)
    released.set()
    with pytest.raises(NotFound):
        await asked


@in_cell
async def test_an_older_run_is_deleted_alone(cell: Cell) -> None:
    first = await cell.start()
    await cell.step(continue_as_new())
    await delete(cell, run_id=first)
    with pytest.raises(NotFound):
        await cell.describe(run_id=first)
    await cell.step(complete_workflow())
    with pytest.raises(NotFound):
        await delete(cell, "never-was")
