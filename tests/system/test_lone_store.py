"""What the system cell's store answers from memory is what the store below would answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from api.system.lone_store import LoneStore
from engine.errors import StoreUnavailable
from engine.persistence.memory import MemoryStore
from engine.persistence.protocols import (
    FIRST_WAKEUP,
    RunKey,
    RunWrite,
    ShardWrite,
    Store,
    Wakeup,
)

SHARD = 0
FOREVER_NS = 2**62
KEYS = [RunKey("system", f"close-{number}", "run") for number in range(3)]


class Failing(MemoryStore):
    """Says of a commit that it may not have been made, when it was."""

    is_failing = False

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        fenced = await super().commit(writes)
        if self.is_failing:
            raise StoreUnavailable("no answer")
        return fenced


def run_write(key: RunKey, at_ns: int | None, was_ns: int | None = None) -> RunWrite:
    return RunWrite(key, b"header", active=False, wakeup_was_ns=was_ns, wakeup_at_ns=at_ns)


async def opened(store: MemoryStore) -> LoneStore:
    lone = LoneStore(cast(Store, store))
    await lone.open(1)
    assert len(await lone.acquire([SHARD], "node-1", 0, 10)) == 1
    await lone.leases()
    return lone


async def due(store: LoneStore | MemoryStore, shard_id: int, until_ns: int) -> list[Wakeup]:
    """All wake-ups until then, read as a shard reads them: by pages."""
    found: list[Wakeup] = []
    last = FIRST_WAKEUP
    while page := await store.wakeups(shard_id, last, until_ns, 1):
        found += page
        last = page[-1]
    return found


async def test_wake_ups_follow_what_is_committed() -> None:
    store = MemoryStore()
    lone = await opened(store)
    assert await due(lone, SHARD, FOREVER_NS) == []
    first, second, third = KEYS
    await lone.commit([ShardWrite(SHARD, 1, 1, [run_write(first, 30), run_write(second, 20)])])
    await lone.commit([ShardWrite(SHARD, 1, 2, [run_write(first, 10, 30), run_write(third, 40)])])
    await lone.commit([ShardWrite(SHARD, 1, 3, [run_write(second, None, 20)])])
    for until_ns in (0, 10, 39, 40, FOREVER_NS):
        assert await due(lone, SHARD, until_ns) == await due(store, SHARD, until_ns)
    assert [key for _, key in await due(lone, SHARD, FOREVER_NS)] == [first, third]


async def test_a_lease_that_somebody_else_took_is_noticed_at_the_next_commit() -> None:
    store = MemoryStore()
    lone = await opened(store)
    assert await lone.renew({SHARD: 1}, 20) == {SHARD}
    await store.acquire([SHARD], "another", 1_000, 2_000)
    assert await lone.commit([ShardWrite(SHARD, 1, 1, [])]) == {SHARD}
    assert await lone.renew({SHARD: 1}, 30) == frozenset()
    assert (await lone.leases())[SHARD].owner == "another"


async def test_what_an_unknown_outcome_leaves_is_read_again() -> None:
    store = Failing()
    lone = await opened(store)
    await due(lone, SHARD, FOREVER_NS)
    store.is_failing = True
    with pytest.raises(StoreUnavailable):
        await lone.commit([ShardWrite(SHARD, 1, 1, [run_write(KEYS[0], 10)])])
    assert await due(lone, SHARD, FOREVER_NS) == [(10, KEYS[0])]


async def test_nothing_is_metered() -> None:
    store = MemoryStore()
    lone = await opened(store)
    await lone.commit([ShardWrite(SHARD, 1, 1, [run_write(KEYS[0], None)], facts=b"facts")])
    assert await store.read_facts(0, 10) == []
