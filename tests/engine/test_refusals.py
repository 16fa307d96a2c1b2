"""A refusal is final, so it leaves only when what it was decided on is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.api.enums.v1 import WorkflowIdReusePolicy

from engine.errors import EngineError
from tests.engine.cell import Cell, complete_workflow, in_cell, soon


async def start_again(cell: Cell) -> None:
    once = WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
    await cell.start(workflow_id_reuse_policy=once, request_id="again")


CALLS: dict[str, Callable[[Cell], Awaitable[Any]]] = {
    "signal": lambda cell: cell.signal("paid"),
    "terminate": lambda cell: cell.terminate(),
    "start": start_again,
}


@pytest.mark.parametrize("call", CALLS)
@in_cell
async def test_what_an_undurable_end_refuses_is_refused_when_it_is_durable(
    cell: Cell, call: str
) -> None:
    await cell.start()
    task = await cell.poll()
    released = cell.hold_commits()
    completed = await soon(cell.complete(task, complete_workflow()))
    refused = await soon(CALLS[call](cell))
    await asyncio.sleep(1)
    assert not refused.done()
    released.set()
    await completed
    with pytest.raises(EngineError):
        await refused


@in_cell
async def test_a_completion_that_came_second_is_refused_when_the_first_is_durable(
    cell: Cell,
) -> None:
    await cell.start()
    task = await cell.poll()
    released = cell.hold_commits()
    first = await soon(cell.complete(task, complete_workflow()))
    second = await soon(cell.complete(task, complete_workflow()))
    await asyncio.sleep(1)
    assert not second.done()
    released.set()
    await first
    with pytest.raises(EngineError, match="workflow task not found"):
        await second
