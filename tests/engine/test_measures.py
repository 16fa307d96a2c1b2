"""What a node counts of its work: for its operators, and minute by minute for its tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w

from engine.call import Call
from engine.cell import memory, remote
from engine.cell.loaded_run import LoadedRun
from engine.cell.memory import Memory
from engine.errors import StoreUnavailable
from engine.handlers import read_measures
from engine.history.state import RunState
from engine.measures import (
    STICKY,
    WINDOW_SECONDS,
    Measures,
    NamespaceMeasures,
    Waiting,
    Window,
    Windows,
    decode,
    encode,
    percentile,
)
from engine.persistence.protocols import RunKey, ShardWrite
from engine.protocol.cell_pb2 import ReadMeasuresRequest, ReadMeasuresResponse
from tests.engine.cell import (
    NAMESPACE_ID,
    QUEUE,
    Cell,
    cancel_activity,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    in_cell,
    schedule_activity,
    soon,
    start_timer,
)

ORDER = (QUEUE, "Order")
SECOND = timedelta(seconds=1)


async def last_minute(cell: Cell) -> NamespaceMeasures:
    """What the cell tells of the minute that is over now."""
    await asyncio.sleep(WINDOW_SECONDS)
    return await told_now(cell)


async def told_now(cell: Cell) -> NamespaceMeasures:
    request = ReadMeasuresRequest(namespace_ids=[NAMESPACE_ID])
    answer = await cell.rpc(read_measures.HANDLER.method, request, ReadMeasuresResponse)
    [told] = decode(answer.measures)
    assert told.namespace_id == NAMESPACE_ID
    return told


@in_cell
async def test_a_workflows_end_is_counted_by_how_it_ended(cell: Cell) -> None:
    for number, command in enumerate((complete_workflow(), fail_workflow(), continue_as_new())):
        await cell.start(f"order-{number}")
        await cell.step(command)
    await cell.terminate("order-2")
    await cell.start("order-3")
    await cell.request_cancel("order-3")
    await cell.poll()
    await cell.step(cancel_workflow())
    await cell.start("order-4", workflow_execution_timeout=timedelta(seconds=1))
    await asyncio.sleep(2)
    counts = (await last_minute(cell)).window.counts
    ended = {name: count for (name, *labels), count in counts.items() if tuple(labels) == ORDER}
    assert ended == {
        "workflow_success": 1,
        "workflow_failed": 1,
        "workflow_continued_as_new": 1,
        "workflow_terminate": 1,
        "workflow_cancel": 1,
        "workflow_timeout": 1,
    }
    assert counts["action", "workflow_started", "Order"] == 5


@in_cell
async def test_activities_and_their_attempts_are_counted_by_how_they_ended(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity("mended"))
    await cell.fail_activity(await cell.poll_activity())
    await cell.complete_activity(await cell.poll_activity())
    await cell.step(schedule_activity("broken"))
    await cell.fail_activity(await cell.poll_activity(), non_retryable=True)
    await cell.step(schedule_activity("slow", start_to_close=SECOND, maximum_attempts=2))
    for _ in range(2):
        await cell.poll_activity()
    await cell.step(schedule_activity("ignored", schedule_to_start=SECOND))
    await cell.step(complete_workflow())
    # One that a worker has, and one that no worker has, by the time they are canceled.
    for workflow_id, is_taken in (("order-2", True), ("order-3", False)):
        await cell.start(workflow_id)
        await cell.step(schedule_activity())
        task = await cell.poll_activity() if is_taken else None
        await cell.signal("enough", workflow_id)
        await cell.step(cancel_activity(5))
        if task is not None:
            await cell.ask(w.RespondActivityTaskCanceledRequest(task_token=task.task_token))
        await cell.step(complete_workflow())
    told = (await last_minute(cell)).window
    activity = (*ORDER, "Charge")
    started, unstarted = ((*ORDER, kind, "Charge") for kind in ("StartToClose", "ScheduleToStart"))
    assert {it: count for it, count in told.counts.items() if it[0].startswith("activity_")} == {
        ("activity_success", *activity): 1,
        ("activity_fail", *activity): 1,
        ("activity_task_fail", *activity): 2,
        ("activity_timeout", *started): 1,
        ("activity_task_timeout", *started): 2,
        ("activity_timeout", *unstarted): 1,
        ("activity_task_timeout", *unstarted): 1,
        ("activity_cancel", *activity): 2,
    }
    of_attempts = told.latencies["activity_start_to_close", "Charge"]
    whole = told.latencies["activity_schedule_to_close", "Charge"]
    assert (sum(of_attempts.values()), sum(whole.values())) == (6, 6)
    assert percentile(of_attempts, 1.0) == pytest.approx(1, rel=0.1)
    assert percentile(whole, 1.0) == pytest.approx(3, rel=0.1)


@in_cell
async def test_what_is_not_durable_is_counted_nowhere(cell: Cell) -> None:
    released = cell.hold_commits()
    starting = await soon(cell.start())
    assert cell.node.measures.windows.of(NAMESPACE_ID).counts.keys() == set()
    released.set()
    await starting
    counts = cell.node.measures.windows.of(NAMESPACE_ID).counts
    assert counts["action", "workflow_started", "Order"] == 1


@in_cell
async def test_a_task_that_finds_a_poll_waiting_is_matched_at_once(cell: Cell) -> None:
    polled = await soon(cell.poll())
    await cell.start("order-1")
    await polled
    await cell.start("order-2")
    await cell.poll()
    counts = (await last_minute(cell)).window.counts
    assert counts["poll_success", "workflow", QUEUE] == 2
    assert counts["poll_success_sync", "workflow", QUEUE] == 1
    sums = cell.node.measures.sums
    assert (sums["tasks_delivered", "workflow"], sums["tasks_matched_at_once", "workflow"]) == (
        2,
        1,
    )


@in_cell
async def test_polls_that_end_empty_are_counted_and_those_of_one_worker_together(
    cell: Cell,
) -> None:
    cell.timeout_seconds, cell.is_emptied = 2.0, True
    await cell.poll()
    await cell.poll("worker-7-of-host-3", sticky_of=QUEUE)
    counts = (await last_minute(cell)).window.counts
    assert counts["poll_timeout", "workflow", QUEUE] == 1
    assert counts["poll_timeout", "workflow", STICKY] == 1
    assert cell.node.measures.sums["polls_empty", "workflow"] == 2
    assert not any("host-3" in label for series in counts for label in series)


@in_cell
async def test_a_backlog_has_an_age_until_it_is_gone(cell: Cell) -> None:
    await cell.start("order-1")
    await asyncio.sleep(30)
    await cell.start("order-2")
    [waiting] = (await told_now(cell)).waiting
    assert (waiting.kind, waiting.queue, waiting.task_count) == ("workflow", QUEUE, 2)
    assert waiting.oldest_seconds == pytest.approx(30, abs=1)
    readings = {(it.name, *it.labels.values()): it.value for it in cell.node.readings()}
    assert readings["backlog_tasks", "workflow"] == 2
    assert readings["backlog_age_seconds", "workflow"] == waiting.oldest_seconds
    await cell.step(complete_workflow())
    await cell.step(complete_workflow())
    told = await last_minute(cell)
    assert [it.task_count for it in told.waiting] == [0]
    assert [it.oldest_seconds for it in told.waiting] == [0]


@in_cell
async def test_a_timer_says_how_late_it_was_looked_at(cell: Cell) -> None:
    await cell.start()
    await cell.step(start_timer("patience", timedelta(seconds=5)))
    before = sum(cell.node.measures.timer_lag_seconds.counts)
    await asyncio.sleep(6)
    lag = cell.node.measures.timer_lag_seconds
    assert sum(lag.counts) > before
    assert lag.total < 0.1


@pytest.mark.allow_log("store_failed")
@in_cell
async def test_a_store_that_fails_and_the_shards_it_costs_are_counted(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = cell.store.commit

    async def fail(writes: Sequence[ShardWrite]) -> frozenset[int]:
        monkeypatch.setattr(cell.store, "commit", commit)
        raise StoreUnavailable

    monkeypatch.setattr(cell.store, "commit", fail)
    await cell.start()
    sums = cell.node.measures.sums
    assert sums["store_errors", "StoreUnavailable"] == 1
    assert sums["shards_lost", "store"] == 1
    readings = {it.name: it.value for it in cell.node.readings()}
    assert readings["shards_owned"] == 4
    assert readings["runs_in_memory"] == 1


def test_runs_that_leave_memory_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CACHED_RUN_COUNT_MAX", 2)
    measures = Measures(lambda: 0.0)
    held = Memory(measures)
    runs = [LoadedRun(RunState(RunKey("ns", str(i), "run")), 0, created=True) for i in range(5)]
    for run in runs:
        held.note(run)
    assert held.size[0] == 5
    assert len(held.surplus(runs, lambda run: True)) == 3
    assert measures.sums["runs_evicted", ""] == 3


async def test_nodes_of_a_cell_tell_together() -> None:
    asked: list[tuple[str, bytes]] = []
    here, there = Windows(lambda: 0.0), Window()
    there.count(("poll_timeout", "workflow", "a"), 2)
    there.took(("workflow_schedule_to_close", "Order"), 1.0)

    async def elsewhere(method: str, payload: bytes) -> list[bytes]:
        asked.append((method, payload))
        waiting = [Waiting("workflow", "a", 3, 1.5)]
        return [encode([NamespaceMeasures("ns-1", there, waiting)])] * 2

    services: Any = SimpleNamespace(
        measures=SimpleNamespace(windows=here),
        dispatcher=SimpleNamespace(matching=SimpleNamespace(of_namespace=lambda id: [])),
        elsewhere=elsewhere,
    )
    request = ReadMeasuresRequest(namespace_ids=["ns-1"])
    answer = await read_measures.handle(services, request, Call("", ""))
    [told] = decode(answer.measures)
    assert told.window.counts == {("poll_timeout", "workflow", "a"): 4}
    assert sum(told.window.latencies["workflow_schedule_to_close", "Order"].values()) == 2
    assert [it.task_count for it in told.waiting] == [3, 3]
    assert asked == [(remote.MEASURES, request.SerializeToString())]


@in_cell
async def test_a_cell_tells_of_the_namespaces_that_are_asked_for_alone(cell: Cell) -> None:
    await cell.put_namespace("canary")
    request = w.StartWorkflowExecutionRequest(workflow_id="canary-id", request_id="1")
    request.workflow_type.name, request.task_queue.name = "canary-type", "canary-queue"
    await cell.ask(request, "canary")
    await cell.start()
    told = await last_minute(cell)
    assert "canary" not in repr(told)
    await cell.step(complete_workflow())
