"""Runs that have to leave together leave the store a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import count, islice
from typing import Any

import pytest

from engine.cell import forgetting, purge, wakeups
from engine.errors import StoreRejected, StoreUnavailable
from engine.handlers.handler import CELL_SERVICE
from engine.ids import shard_of
from engine.persistence.protocols import RunKey, ShardWrite, StoredRun
from engine.protocol.cell_pb2 import (
    DeleteNamespaceRequest,
    DeleteNamespaceResponse,
    PutNamespaceRequest,
    PutNamespaceResponse,
)
from engine.visibility.query import VisibilityQuery
from tests.engine.bounds import ON_BOTH_SIDES, limit
from tests.engine.cell import (
    NAMESPACE_ID,
    Cell,
    complete_workflow,
    in_cell,
    record_marker,
    start_timer,
)
from tests.engine.door import NODE

SHARD_COUNT = 4
RUN_COUNT_MAX = 4
at_node = partial(in_cell, ways=(NODE,))
"""Which way calls come in makes no difference to what leaves."""

RETENTION = timedelta(minutes=1)
LATER_SECONDS = 20
COMMIT_SECONDS = 0.005
READ_SECONDS = 0.002


class Watched:
    """A cell's store: how many runs each commit deletes, how many each look-up asks for.

    It takes its time, so that what is decided meanwhile goes with the next commit.
    """

    def __init__(self, cell: Cell) -> None:
        self.deleted: list[int] = []
        self.deleted_before: dict[str, int] = {}
        """Of each workflow id: how many commits deleted before new events of it were written."""
        self.asked: list[int] = []
        self._commit, self._load = cell.store.commit, cell.store.load
        cell.store.commit = self.commit  # type: ignore[method-assign]
        cell.store.load = self.load  # type: ignore[method-assign]

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        if deleted := sum(run.deleted for write in writes for run in write.runs):
            self.deleted.append(deleted)
        for run in (run for write in writes for run in write.runs if run.history):
            self.deleted_before.setdefault(run.key.workflow_id, len(self.deleted))
        await asyncio.sleep(COMMIT_SECONDS)
        return await self._commit(writes)

    async def load(self, keys: Sequence[RunKey]) -> list[StoredRun | None]:
        self.asked.append(len(keys))
        await asyncio.sleep(READ_SECONDS)
        return await self._load(keys)


def orders(run_count: int) -> list[str]:
    return [f"order-{number}" for number in range(run_count)]


def is_in_first_shard(workflow_id: str) -> bool:
    return shard_of(NAMESPACE_ID, workflow_id, SHARD_COUNT) == 0


async def close_together(cell: Cell, workflow_ids: list[str], *commands: Any) -> None:
    """Runs of these ids close at one moment."""
    for workflow_id in workflow_ids:
        await cell.start(workflow_id)
    tasks = [await cell.poll() for _ in workflow_ids]
    ends = (cell.complete(task, *commands, complete_workflow()) for task in tasks)
    await asyncio.gather(*ends)
    cell.is_emptied = True


async def keep_for_a_minute(cell: Cell) -> None:
    request = PutNamespaceRequest(id=NAMESPACE_ID, name=f"{NAMESPACE_ID}.acme")
    request.workflow_execution_retention.FromTimedelta(RETENTION)
    await cell.rpc(CELL_SERVICE + "PutNamespace", request, PutNamespaceResponse)


async def left(cell: Cell) -> int:
    return len(await cell.store.list_visibility(VisibilityQuery(NAMESPACE_ID, page_size=1_000)))


@limit("RUNS_FORGOTTEN_PER_COMMIT_MAX")
@ON_BOTH_SIDES
@at_node
async def test_one_commit_deletes_few_of_the_runs_that_were_in_memory(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    monkeypatch.setattr(forgetting, "RUNS_FORGOTTEN_PER_COMMIT_MAX", RUN_COUNT_MAX)
    await keep_for_a_minute(cell)
    await close_together(cell, orders(RUN_COUNT_MAX + beyond))
    watched = Watched(cell)
    await asyncio.sleep(RETENTION.total_seconds() + LATER_SECONDS)
    assert watched.deleted == ([RUN_COUNT_MAX, 1] if beyond > 0 else [RUN_COUNT_MAX + beyond])
    assert await left(cell) == 0


@limit("EVENTS_FORGOTTEN_PER_COMMIT_MAX")
@ON_BOTH_SIDES
@at_node
async def test_one_commit_deletes_few_events_of_several_runs(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    # Each has started, its task in three events, and completed, with a marker before that.
    monkeypatch.setattr(forgetting, "EVENTS_FORGOTTEN_PER_COMMIT_MAX", 12 - beyond)
    await keep_for_a_minute(cell)
    await close_together(cell, orders(3), record_marker("bulky"))
    watched = Watched(cell)
    await asyncio.sleep(RETENTION.total_seconds() + LATER_SECONDS)
    assert watched.deleted == ([1, 1, 1] if beyond > 0 else [2, 1])
    assert await left(cell) == 0


@at_node
async def test_after_a_restart_they_are_looked_up_together_and_deleted_as_many_at_a_time(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "RUNS_FORGOTTEN_PER_COMMIT_MAX", 10)
    await keep_for_a_minute(cell)
    await close_together(cell, orders(45))
    watched = Watched(cell)
    await cell.sleep_without_node(RETENTION)
    await asyncio.sleep(LATER_SECONDS)
    assert await left(cell) == 0
    assert max(watched.deleted) == 10
    # The shards are taken one after the other: the last deletion of each may be a small one.
    assert len(watched.deleted) <= 45 // 10 + SHARD_COUNT
    assert (sum(watched.asked), len(watched.asked)) == (45, SHARD_COUNT)


@at_node
async def test_wakeups_are_loaded_by_pages_until_the_last(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "WAKEUPS_READ_AT_ONCE", 2)
    await keep_for_a_minute(cell)
    await close_together(cell, orders(20))
    await cell.sleep_without_node(RETENTION)
    await asyncio.sleep(LATER_SECONDS)
    assert await left(cell) == 0


@at_node
async def test_a_timer_does_not_wait_for_the_deletion_of_what_was_due_before_it(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "RUNS_FORGOTTEN_PER_COMMIT_MAX", 1)
    await keep_for_a_minute(cell)
    ids = (f"order-{number}" for number in count())
    patient, *others = islice(filter(is_in_first_shard, ids), 31)
    await close_together(cell, others)
    await cell.start(patient)
    await cell.step(start_timer("t", RETENTION + timedelta(milliseconds=1)))
    watched = Watched(cell)
    await cell.sleep_without_node(RETENTION)
    await asyncio.sleep(LATER_SECONDS)
    assert (len(watched.deleted), await left(cell)) == (30, 1)
    assert watched.deleted_before[patient] < 5


@pytest.mark.parametrize("error", [StoreUnavailable, StoreRejected])
@at_node
async def test_what_could_not_be_deleted_is_deleted_later(
    cell: Cell, error: type[Exception], allow_log: Any
) -> None:
    allow_log("commit_replayed", "run_parked", "run_not_forgotten", "store_failed")
    await keep_for_a_minute(cell)
    await close_together(cell, orders(3))
    commit, failures = cell.store.commit, [error("simulated")] * 3

    async def failing(writes: Sequence[ShardWrite]) -> frozenset[int]:
        if failures and any(run.deleted for write in writes for run in write.runs):
            raise failures.pop()
        return await commit(writes)

    cell.store.commit = failing  # type: ignore[method-assign]
    await asyncio.sleep(RETENTION.total_seconds() + LATER_SECONDS)
    assert (await left(cell), failures) == (0, [])


@at_node
async def test_a_deleted_namespace_leaves_as_slowly(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "RUNS_FORGOTTEN_PER_COMMIT_MAX", RUN_COUNT_MAX)
    await close_together(cell, orders(2 * RUN_COUNT_MAX + 1))
    await cell.crash_and_restart()
    watched = Watched(cell)
    request = DeleteNamespaceRequest(id=NAMESPACE_ID)
    await cell.rpc(CELL_SERVICE + "DeleteNamespace", request, DeleteNamespaceResponse)
    await asyncio.sleep(2 * purge.LOOK_AGAIN_SECONDS)
    assert await left(cell) == 0
    assert watched.deleted == [RUN_COUNT_MAX, RUN_COUNT_MAX, 1]
    assert len(watched.asked) <= 3
