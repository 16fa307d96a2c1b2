"""Conformance: leases, the fence, facts, summaries and namespaces."""

from __future__ import annotations

import pytest

from engine.errors import StoreMismatch
from engine.persistence import postgres, sqlite
from engine.persistence.protocols import (
    FactRow,
    NamespaceRow,
    ShardLease,
    ShardWrite,
    Store,
)
from engine.visibility.query import VisibilityQuery
from tests.engine.persistence.values import (
    LEASE_NS,
    NAMESPACE,
    NOW_NS,
    SHARD_COUNT,
    batch,
    due,
    key,
    own,
    put,
    run_write,
    visible,
)

UNTIL_NS = NOW_NS + LEASE_NS


async def test_a_new_store_has_every_shard_unheld(store: Store) -> None:
    assert await store.leases() == [ShardLease(n, "", 0, 0, 0) for n in range(SHARD_COUNT)]


async def test_opening_again_changes_nothing(store: Store) -> None:
    await own(store, 1)
    await store.open(SHARD_COUNT)
    assert (await store.leases())[1] == ShardLease(1, "node-1", 1, 0, UNTIL_NS)


async def test_another_number_of_shards_is_refused(store: Store) -> None:
    with pytest.raises(StoreMismatch, match=f"{SHARD_COUNT} shards, not 8"):
        await store.open(8)


async def test_a_free_shard_is_taken_and_a_held_one_is_not(store: Store) -> None:
    await own(store, 1)
    taken = await store.acquire([2, 1, 2, 99], "node-2", NOW_NS, UNTIL_NS)
    assert taken == [ShardLease(2, "node-2", 1, 0, UNTIL_NS)]


async def test_a_shard_is_taken_at_its_expiry_and_not_before(store: Store) -> None:
    await own(store, 1)
    assert await store.acquire([1], "node-2", UNTIL_NS - 1, UNTIL_NS * 2) == []
    [lease] = await store.acquire([1], "node-2", UNTIL_NS, UNTIL_NS * 2)
    assert lease == ShardLease(1, "node-2", 2, 0, UNTIL_NS * 2)


async def test_its_owner_takes_a_shard_again_under_a_new_epoch(store: Store) -> None:
    assert await own(store, 1) == {1: 1}
    assert await own(store, 1) == {1: 2}


async def test_only_standing_epochs_are_renewed(store: Store) -> None:
    await own(store)
    await own(store, 2)
    assert await store.renew({1: 1, 2: 1, 3: 7, 99: 1}, UNTIL_NS + 5) == frozenset({1})
    assert [lease.expires_at_ns - UNTIL_NS for lease in await store.leases()] == [0, 5, 0, 0]


async def test_a_commit_moves_the_sequence_of_its_shard(store: Store) -> None:
    epochs = await own(store)
    await store.commit([ShardWrite(1, epochs[1], 7, [])])
    assert [lease.sequence for lease in await store.leases()] == [0, 7, 0, 0]
    assert await own(store, 1) == {1: 2}
    assert (await store.leases())[1].sequence == 7


async def test_a_fenced_shard_writes_nothing_and_the_others_do(store: Store) -> None:
    old = await own(store)
    await own(store, 1, 3)

    def write(shard_id: int) -> ShardWrite:
        run = run_write(
            key(shard_id),
            active=True,
            wakeup_at_ns=1,
            visibility=visible(shard_id),
            history=[batch(1)],
            becomes_current=True,
            summary=b"sum",
        )
        return ShardWrite(shard_id, old[shard_id], 5, [run], b"facts")

    assert await store.commit([write(n) for n in range(4)]) == frozenset({1, 3})

    assert [lease.sequence for lease in await store.leases()] == [5, 0, 5, 0]
    written = [key(0), key(2)]
    assert [run and run.key for run in await store.load([key(n) for n in range(4)])] == [
        key(0), None, key(2), None,
    ]  # fmt: skip
    for shard_id in (1, 3):
        assert await store.read_history(key(shard_id), 1, 9, 999) == []
        assert await store.active_runs(shard_id) == []
        assert await due(store, shard_id, NOW_NS) == []
        assert await store.workflow_ids(shard_id) == []
    rows = await store.list_visibility(VisibilityQuery(NAMESPACE))
    assert [row.run_id for row in rows] == ["run-0002", "run-0000"]
    assert [fact.shard_id for fact in await store.read_facts(0, 9)] == [0, 2]
    assert await store.read_summaries(NAMESPACE, "", 9) == [(named, b"sum") for named in written]


async def test_a_fenced_owner_deletes_nothing(store: Store) -> None:
    old = await own(store)
    await put(store, run_write(key(), history=[batch(1)]))
    await own(store, 1)
    fenced = await store.commit([ShardWrite(1, old[1], 5, [run_write(key(), deleted=True)])])
    assert fenced == frozenset({1})
    assert await store.read_history(key(), 1, 9, 999) == [batch(1)]


@pytest.mark.parametrize("epoch", [0, 2])
async def test_any_other_epoch_is_fenced_a_later_one_too(store: Store, epoch: int) -> None:
    await own(store, 1)
    assert await store.commit([ShardWrite(1, epoch, 5, [run_write(key())])]) == frozenset({1})
    assert await store.load([key()]) == [None]


async def test_a_shard_that_is_not_there_is_fenced(store: Store) -> None:
    assert await store.commit([ShardWrite(99, 0, 1, [run_write(key())])]) == frozenset({99})
    assert await store.load([key()]) == [None]


async def test_what_a_fenced_shard_would_break_refuses_nobody(store: Store) -> None:
    old = await own(store)
    await put(store, run_write(key(), history=[batch(1)]))
    await own(store, 1)
    fenced = await store.commit(
        [
            ShardWrite(1, old[1], 5, [run_write(key(), history=[batch(1)])]),
            ShardWrite(2, old[2], 5, [run_write(key(2))]),
        ]
    )
    assert fenced == frozenset({1})
    assert (await store.load([key(2)]))[0] is not None


async def test_an_empty_commit_is_nothing(store: Store) -> None:
    assert await store.commit([]) == frozenset()


async def test_facts_are_read_in_order_behind_a_position(store: Store) -> None:
    for number in (1, 2, 3):
        await put(store, facts=b"fact %d" % number)
    await put(store)
    first, second, third = await store.read_facts(0, 9)
    assert first == FactRow(first.position, 1, 1, b"fact 1")
    assert first.position < second.position < third.position
    assert await store.read_facts(first.position, 1) == [second]
    assert await store.read_facts(third.position, 9) == []


async def test_positions_of_facts_rise_although_all_were_deleted(store: Store) -> None:
    await put(store, facts=b"old")
    [old] = await store.read_facts(0, 9)
    await store.delete_facts(old.position)
    assert await store.read_facts(0, 9) == []
    await put(store, facts=b"new")
    [new] = await store.read_facts(old.position, 9)
    assert new.blob == b"new"


@pytest.mark.parametrize("count", [3, 4])
async def test_facts_are_deleted_however_many_there_are(
    store: Store, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    for runs in (postgres.runs, sqlite.runs):
        monkeypatch.setattr(runs, "FACTS_DELETED_AT_ONCE", 3)
    for number in range(count + 1):
        await put(store, facts=b"%d" % number)
    rows = await store.read_facts(0, 9)
    await store.delete_facts(rows[count - 1].position)
    assert await store.read_facts(0, 9) == rows[count:]


async def test_deleting_facts_keeps_those_behind_the_position(store: Store) -> None:
    for number in (1, 2, 3):
        await put(store, facts=b"%d" % number)
    rows = await store.read_facts(0, 9)
    await store.delete_facts(rows[1].position)
    assert await store.read_facts(0, 9) == rows[2:]


async def test_summaries_are_paged_by_run_id_within_a_namespace(store: Store) -> None:
    for number in (3, 1, 2):
        await put(store, run_write(key(number), summary=b"%d" % number))
    await put(store, run_write(key(4, namespace="other"), summary=b"x"))
    await put(store, run_write(key(2), summary=b"newer"))
    assert await store.read_summaries(NAMESPACE, "", 2) == [(key(1), b"1"), (key(2), b"newer")]
    assert await store.read_summaries(NAMESPACE, "run-0002", 2) == [(key(3), b"3")]


async def test_a_namespace_is_replaced_by_its_id(store: Store) -> None:
    await store.put_namespace(NamespaceRow("b", "second", b"1"))
    await store.put_namespace(NamespaceRow("a", "first", b"2"))
    await store.put_namespace(NamespaceRow("b", "renamed", b"3"))
    assert await store.namespaces() == [
        NamespaceRow("a", "first", b"2"),
        NamespaceRow("b", "renamed", b"3"),
    ]


async def test_closing_twice_is_closing(store: Store) -> None:
    await store.close()
    await store.close()
