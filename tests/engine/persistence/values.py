"""Rows to put into a store: what a test does not name is the same in all of them."""

from __future__ import annotations

from typing import Any

from engine.persistence.protocols import (
    FIRST_WAKEUP,
    HistoryBatch,
    RunKey,
    RunWrite,
    ShardWrite,
    Store,
    Wakeup,
)
from engine.visibility.query import VisibilityRow

SHARD_COUNT = 4
NOW_NS = 1_700_000_000_000_000_000
LEASE_NS = 5_000_000_000
NAMESPACE = "namespace-a"


def key(number: int = 1, *, workflow: str = "", namespace: str = NAMESPACE) -> RunKey:
    return RunKey(namespace, workflow or f"workflow-{number}", f"run-{number:04d}")


def batch(first: int, last: int | None = None, size_bytes: int = 20) -> HistoryBatch:
    return HistoryBatch(first, first if last is None else last, bytes([first % 256]) * size_bytes)


def run_write(named: RunKey, header: bytes = b"header", **fields: Any) -> RunWrite:
    fields.setdefault("active", False)
    return RunWrite(named, header, **fields)


def visible(number: int, *, namespace: str = NAMESPACE, **fields: Any) -> VisibilityRow:
    named = key(number, namespace=namespace)
    defaults: dict[str, Any] = {
        "workflow_type": "Order",
        "task_queue": "orders",
        "status": 1,
        "start_at_ns": NOW_NS + number,
        "execution_at_ns": NOW_NS + number,
    }
    return VisibilityRow(namespace, named.run_id, named.workflow_id, **(defaults | fields))


async def own(store: Store, *shard_ids: int, owner: str = "node-1") -> dict[int, int]:
    """Take the shards, all if none is named; their epochs."""
    wanted = shard_ids or range(SHARD_COUNT)
    taken = await store.acquire(list(wanted), owner, NOW_NS, NOW_NS + LEASE_NS)
    return {lease.shard_id: lease.epoch for lease in taken}


async def due(store: Store, shard_id: int, until_ns: int) -> list[Wakeup]:
    """All wake-ups of the shard until then; a test has few."""
    return await store.wakeups(shard_id, FIRST_WAKEUP, until_ns, 1_000)


async def put(store: Store, *runs: RunWrite, shard_id: int = 1, facts: bytes | None = None) -> None:
    """Commit runs as the owner that the store has recorded."""
    lease = (await store.leases())[shard_id]
    write = ShardWrite(shard_id, lease.epoch, lease.sequence + 1, list(runs), facts)
    assert await store.commit([write]) == frozenset()


async def put_visible(store: Store, *rows: VisibilityRow) -> None:
    runs = [
        run_write(RunKey(row.namespace_id, row.workflow_id, row.run_id), visibility=row)
        for row in rows
    ]
    await put(store, *runs)
