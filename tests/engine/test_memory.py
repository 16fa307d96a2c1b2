"""What a shard's runs may hold in memory; what does not fit is read again."""

from __future__ import annotations

import pytest
import temporalio.api.workflowservice.v1 as w

from engine.cell import loaded_run, memory
from engine.cell.loaded_run import LoadedRun
from engine.cell.memory import Memory
from engine.history.state import RunState
from engine.measures import Measures
from engine.persistence.protocols import RunKey
from tests.engine.bounds import ON_BOTH_SIDES, limit
from tests.engine.cell import Cell, complete_workflow, in_cell, names, text
from tests.engine.chain import EVERY_MINUTE, due, started_of

STARTED_BYTES = 1_000


def noted(count: int) -> tuple[Memory, list[LoadedRun]]:
    """Runs that hold how they began and nothing else, the longest unused first."""
    held, runs = Memory(Measures(lambda: 0.0)), []
    for number in range(count):
        state = RunState(RunKey("ns-1", f"order-{number}", "run-1"))
        state.put_started(bytes(STARTED_BYTES))
        runs.append(LoadedRun(state, 0, created=True))
        held.note(runs[-1])
    return held, runs


@limit("CACHED_RUN_BYTES_MAX")
@ON_BOTH_SIDES
def test_the_longest_unused_run_leaves_when_the_bytes_of_all_exceed_the_bound(
    monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    monkeypatch.setattr(memory, "CACHED_RUN_BYTES_MAX", 3 * STARTED_BYTES - beyond)
    held, runs = noted(3)
    leaving = held.surplus(runs, lambda run: True)
    assert leaving == (runs[:1] if beyond > 0 else [])


@ON_BOTH_SIDES
def test_the_longest_unused_run_leaves_when_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    monkeypatch.setattr(memory, "CACHED_RUN_COUNT_MAX", 3 - beyond)
    held, runs = noted(3)
    leaving = held.surplus(runs, lambda run: True)
    assert leaving == (runs[:1] if beyond > 0 else [])


def test_a_run_that_somebody_waits_for_stays_and_the_next_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "CACHED_RUN_BYTES_MAX", 2 * STARTED_BYTES)
    held, runs = noted(3)
    assert held.surplus(runs, lambda run: run is not runs[0]) == [runs[1]]


def test_what_a_run_has_given_up_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CACHED_RUN_BYTES_MAX", 2 * STARTED_BYTES)
    held, runs = noted(3)
    runs[2].state.put_started(b"")
    held.note(runs[2])
    assert held.surplus(runs, lambda run: True) == []
    held, runs = noted(3)
    held.forget(runs[2])
    assert held.surplus(runs[:2], lambda run: True) == []


@in_cell
async def test_a_chain_goes_on_as_it_began_though_memory_kept_nothing_of_it(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CACHED_RUN_BYTES_MAX", 0)
    await cell.start(cron_schedule=EVERY_MINUTE, input=text("x" * STARTED_BYTES))
    for _ in range(3):
        task = await due(cell, complete_workflow())
        assert started_of(task).input == text("x" * STARTED_BYTES)
    await cell.describe()
    kept = [run for held in cell.node._directory.shards for run in held._runs.values()]
    assert sum(run.held_bytes for run in kept) < 2 * STARTED_BYTES


@limit("CACHED_RUN_COUNT_MAX", "CACHED_HISTORY_BYTES_MAX")
@in_cell
async def test_what_memory_does_not_keep_is_read_again(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CACHED_RUN_COUNT_MAX", 1)
    monkeypatch.setattr(loaded_run, "CACHED_HISTORY_BYTES_MAX", 300)
    for number in range(12):
        await cell.start(f"order-{number}", input=text("x" * 200))
    for number in range(12):
        await cell.signal("paid", f"order-{number}")
    kept = sum(len(held._runs) for held in cell.node._directory.shards)
    assert kept < 12
    for _ in range(12):
        task = await cell.poll()
        assert names(task.history.events)[2] == "WorkflowExecutionSignaled"
        await cell.complete(task, complete_workflow())
    listed = await cell.ask(w.CountWorkflowExecutionsRequest(query="ExecutionStatus = 'Completed'"))
    assert listed.count == 12
