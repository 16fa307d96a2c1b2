"""A function may sleep for thirty years."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from engine.errors import StoreRejected
from engine.persistence.protocols import ShardWrite
from tests.engine.cell import Cell, complete_workflow, in_cell, names, start_timer

THIRTY_YEARS = timedelta(days=365 * 30)


@in_cell
async def test_a_timer_of_thirty_years_costs_a_row_and_fires(cell: Cell) -> None:
    await cell.start()
    began = cell.loop.time()
    await cell.step(start_timer("pension", THIRTY_YEARS))
    for _ in range(3):
        await cell.sleep_without_node(THIRTY_YEARS / 3 - timedelta(minutes=1))
    task = await cell.poll()
    while not task.task_token:
        task = await cell.poll()
    assert 0 <= cell.loop.time() - began - THIRTY_YEARS.total_seconds() < 1
    assert "TimerFired" in names(task.history.events)
    await cell.complete(task, complete_workflow())


@in_cell
async def test_a_timer_whose_firing_the_store_refused_fires_later(
    cell: Cell, allow_log: Callable[..., None]
) -> None:
    allow_log("commit_replayed", "run_parked")
    await cell.start()
    await cell.step(start_timer("pension", timedelta(minutes=1)))
    commit, refusals = cell.store.commit, ["of the whole", "of its own part"]

    async def refusing(writes: Sequence[ShardWrite]) -> frozenset[int]:
        if refusals and any(write.runs for write in writes):
            raise StoreRejected(refusals.pop())
        return await commit(writes)

    cell.store.commit = refusing  # type: ignore[method-assign]
    task = await cell.poll()
    while not task.task_token:
        task = await cell.poll()
    assert refusals == []
    assert "TimerFired" in names(task.history.events)
    await cell.complete(task, complete_workflow())
