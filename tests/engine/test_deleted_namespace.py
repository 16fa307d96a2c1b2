"""What becomes of everything that a deleted namespace held."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest
import temporalio.api.workflowservice.v1 as w

from engine.cell import purge
from engine.cell.namespaces import (
    RELOAD_SECONDS_MAX,
    Namespace,
    Namespaces,
    NamespaceSettings,
)
from engine.errors import (
    DeadlineExceeded,
    NamespaceNotFound,
    NotFound,
    StoreUnavailable,
    Unavailable,
)
from engine.handlers.handler import CELL_SERVICE
from engine.persistence.protocols import NamespaceRow
from engine.protocol.cell_pb2 import DeleteNamespaceRequest, DeleteNamespaceResponse
from engine.visibility.query import VisibilityQuery, VisibilityRow
from tests.engine.cell import (
    NAMESPACE_ID,
    Cell,
    complete_workflow,
    in_cell,
    schedule_activity,
    start_timer,
)
from tests.engine.persistence.values import due

OTHER_ID = "id-other"
SHARDS = range(4)
FOR_EVER_NS = 2**62
LOOKS_SECONDS = 3 * purge.LOOK_AGAIN_SECONDS


async def delete_namespace(cell: Cell) -> None:
    request = DeleteNamespaceRequest(id=NAMESPACE_ID)
    await cell.rpc(CELL_SERVICE + "DeleteNamespace", request, DeleteNamespaceResponse)
    cell.is_emptied = True


async def listed(cell: Cell, namespace_id: str = NAMESPACE_ID) -> list[str]:
    rows = await cell.store.list_visibility(VisibilityQuery(namespace_id))
    return sorted(row.workflow_id for row in rows)


async def fill(cell: Cell) -> None:
    """One run that is closed, one that waits for a timer, two that wait for workers."""
    await cell.start("order-0")
    await cell.step(complete_workflow())
    await cell.start("order-1")
    await cell.step(start_timer("t", timedelta(days=30)))
    await cell.start("order-2")
    await cell.step(schedule_activity())
    await cell.start("order-3")


@in_cell
async def test_nothing_of_it_stays_but_what_was_metered(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "RUNS_PER_PAGE", 3)
    await fill(cell)
    facts = await cell.store.read_facts(0, 1000)
    keys = [key for shard_id in SHARDS for key in await cell.store.active_runs(shard_id)]
    assert keys
    await delete_namespace(cell)
    with pytest.raises(NotFound):
        await cell.start("order-4")
    await asyncio.sleep(LOOKS_SECONDS)
    assert await listed(cell) == []
    assert await cell.store.load(keys) == [None] * len(keys)
    assert not any([await due(cell.store, shard_id, FOR_EVER_NS) for shard_id in SHARDS])
    assert not any([await cell.store.workflow_ids(shard_id) for shard_id in SHARDS])
    assert len(await cell.store.read_summaries(NAMESPACE_ID, "", 10)) == 1
    assert await cell.store.read_facts(0, 1000) == facts


@in_cell
async def test_other_namespaces_keep_theirs(cell: Cell) -> None:
    await cell.put_namespace(OTHER_ID)
    await cell.start("order-1")
    request = w.StartWorkflowExecutionRequest(workflow_id="order-1", request_id="r")
    request.workflow_type.name, request.task_queue.name = "Order", "orders"
    await cell.ask(request, OTHER_ID)
    await delete_namespace(cell)
    await asyncio.sleep(LOOKS_SECONDS)
    assert (await listed(cell), await listed(cell, OTHER_ID)) == ([], ["order-1"])


@in_cell
async def test_a_node_that_takes_over_goes_on_deleting(cell: Cell) -> None:
    await fill(cell)
    await delete_namespace(cell)
    assert await listed(cell)
    await cell.crash_and_restart()
    await asyncio.sleep(LOOKS_SECONDS)
    assert await listed(cell) == []


@in_cell
async def test_a_run_that_was_let_in_before_the_deletion_is_found_later(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def let_in(namespaces: Namespaces, namespace_id: str) -> Namespace:
        known = namespaces.known(namespace_id)
        assert known is not None
        return known

    await delete_namespace(cell)
    await asyncio.sleep(1)
    with monkeypatch.context() as patch:
        patch.setattr(Namespaces, "get", let_in)
        await cell.start("late")
    assert await listed(cell) == ["late"]
    await asyncio.sleep(LOOKS_SECONDS)
    assert await listed(cell) == []


@pytest.mark.allow_log("purge_failed")
@in_cell
async def test_a_list_that_cannot_be_read_now_is_read_later(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_slow(query: VisibilityQuery) -> list[VisibilityRow]:
        raise DeadlineExceeded

    await cell.start()
    with monkeypatch.context() as patch:
        patch.setattr(cell.store, "list_visibility", too_slow)
        await delete_namespace(cell)
        await asyncio.sleep(1)
    await asyncio.sleep(LOOKS_SECONDS)
    assert await listed(cell) == []


@in_cell
async def test_a_node_that_was_not_told_of_the_deletion_learns_of_it(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(namespaces: Namespaces, namespace: Namespace) -> None:
        blob = msgspec.msgpack.encode(namespace.settings)
        row = NamespaceRow(namespace.namespace_id, namespace.name, blob)
        await cell.store.put_namespace(row)

    await cell.start()
    with monkeypatch.context() as patch:
        patch.setattr(Namespaces, "put", unheard)
        await delete_namespace(cell)
    await cell.start("late")
    await asyncio.sleep(RELOAD_SECONDS_MAX + LOOKS_SECONDS)
    assert await listed(cell) == []
    with pytest.raises(NamespaceNotFound):
        await cell.start("too-late")


@in_cell
async def test_a_node_that_does_not_know_it_deletes_it_all_the_same(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> list[NamespaceRow]:
        raise StoreUnavailable("the store is away")

    await cell.start()
    blob = msgspec.msgpack.encode(NamespaceSettings())
    await cell.store.put_namespace(NamespaceRow(OTHER_ID, "elsewhere", blob))
    with monkeypatch.context() as patch:
        patch.setattr(cell.store, "namespaces", away)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await cell.ask(w.ListWorkflowExecutionsRequest(), OTHER_ID)
    request = DeleteNamespaceRequest(id=OTHER_ID)
    await cell.rpc(CELL_SERVICE + "DeleteNamespace", request, DeleteNamespaceResponse)
    stored = {row.namespace_id: row.blob for row in await cell.store.namespaces()}
    assert msgspec.msgpack.decode(stored[OTHER_ID], type=NamespaceSettings).deleted
