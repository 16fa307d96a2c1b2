"""The order of waiting tasks."""

from __future__ import annotations

from collections import Counter

import pytest
from temporalio.api.common.v1 import Priority

from engine.matching import queue
from engine.matching.backlog import Backlog
from engine.matching.task import TaskRef
from tests.engine.bounds import limit
from tests.engine.cell import Cell, complete_workflow, in_cell


def task(name: str, priority: int = 0, key: str = "", weight: float = 0.0) -> TaskRef:
    wanted = Priority(priority_key=priority, fairness_key=key, fairness_weight=weight)
    return TaskRef("namespace", name, "run", "workflow", 2, 1, "", wanted.SerializeToString())


def drained(backlog: Backlog) -> list[str]:
    return [backlog.pop().workflow_id for _ in range(len(backlog))]


def test_a_task_that_is_offered_twice_waits_once() -> None:
    backlog = Backlog()
    backlog.add(task("a"))
    backlog.add(task("b"))
    backlog.add(task("a"))
    assert drained(backlog) == ["a", "b"]


def test_lower_priority_keys_come_first_and_the_default_is_three() -> None:
    backlog = Backlog()
    for name, priority in (("default", 0), ("last", 5), ("three", 3), ("first", 1)):
        backlog.add(task(name, priority))
    assert drained(backlog) == ["first", "default", "three", "last"]


def test_a_tenant_with_many_tasks_does_not_hold_up_one_with_few() -> None:
    backlog = Backlog()
    for number in range(100):
        backlog.add(task(f"big-{number}", key="big"))
    backlog.add(task("small", key="small"))
    assert "small" in drained(backlog)[:2]


def test_a_key_of_three_times_the_weight_gets_three_times_the_turns() -> None:
    backlog = Backlog()
    for number in range(100):
        backlog.add(task(f"heavy-{number}", key="heavy", weight=3))
        backlog.add(task(f"light-{number}", key="light", weight=1))
    first = Counter(name.partition("-")[0] for name in drained(backlog)[:40])
    assert first["heavy"] == 3 * first["light"]


def test_a_key_that_was_idle_has_saved_up_no_turns() -> None:
    backlog = Backlog()
    for number in range(50):
        backlog.add(task(f"busy-{number}", key="busy"))
    for _ in range(40):
        backlog.pop()
    for number in range(10):
        backlog.add(task(f"new-{number}", key="new"))
    first = Counter(name.partition("-")[0] for name in drained(backlog)[:10])
    assert first["busy"] >= 4


@in_cell
async def test_workflows_are_handed_out_by_priority(cell: Cell) -> None:
    await cell.start("late", priority=Priority(priority_key=5))
    await cell.start("soon", priority=Priority(priority_key=1))
    order = [(await cell.poll()).workflow_execution.workflow_id for _ in range(2)]
    assert order == ["soon", "late"]


@limit("BACKLOG_TASK_COUNT_MAX")
def test_a_backlog_beyond_its_bound_is_handed_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "BACKLOG_TASK_COUNT_MAX", 5)
    monkeypatch.setattr(queue, "BACKLOG_TASK_COUNT_LOW", 2)

    @in_cell
    async def scenario(cell: Cell) -> None:
        started = {f"order-{number}" for number in range(23)}
        for workflow_id in sorted(started):
            await cell.start(workflow_id)
        seen = set()
        for _ in started:
            task = await cell.poll()
            seen.add(task.workflow_execution.workflow_id)
            await cell.complete(task, complete_workflow())
        assert seen == started

    scenario()
