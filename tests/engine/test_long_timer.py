"""A function may sleep for thirty years."""

from __future__ import annotations

from datetime import timedelta

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
