"""Conformance: runs are read back as they were written last."""

from __future__ import annotations

import pytest

from engine.errors import StoreRejected
from engine.persistence.protocols import (
    FIRST_WAKEUP,
    ItemKind,
    RunKey,
    ShardWrite,
    Store,
    StoredRun,
)
from tests.engine.persistence.values import (
    NAMESPACE,
    NOW_NS,
    batch,
    due,
    key,
    own,
    put,
    put_visible,
    run_write,
    visible,
)

CURRENT = RunKey(NAMESPACE, "workflow-1", "")


async def test_an_unknown_run_is_none(store: Store) -> None:
    assert await store.load([key(), CURRENT]) == [None, None]
    assert await store.read_history(key(), 1, 9, 1000) == []


async def test_a_run_is_read_as_written(store: Store) -> None:
    items = {(ItemKind.ACTIVITY, "5"): b"activity", (ItemKind.TIMER, "t"): b""}
    await put(store, run_write(key(), items=dict(items), wakeup_at_ns=NOW_NS))
    assert await store.load([key()]) == [StoredRun(key(), b"header", items, NOW_NS)]


async def test_runs_are_read_in_the_order_asked_for(store: Store) -> None:
    await put(store, run_write(key(1), b"one"), run_write(key(2), b"two"))
    found = await store.load([key(2), key(3), key(1), key(2)])
    assert [run and run.header for run in found] == [b"two", None, b"one", b"two"]


async def test_the_last_version_of_header_and_items_stays(store: Store) -> None:
    first = {(ItemKind.TIMER, "a"): b"1", (ItemKind.TIMER, "b"): b"1"}
    await put(store, run_write(key(), items=dict(first)))
    await put(
        store,
        run_write(
            key(), b"newer", items={(ItemKind.TIMER, "a"): None, (ItemKind.TIMER, "b"): b"2"}
        ),
    )
    [run] = await store.load([key()])
    assert run is not None
    assert (run.header, dict(run.items)) == (b"newer", {(ItemKind.TIMER, "b"): b"2"})


async def test_an_item_may_be_dropped_that_never_was(store: Store) -> None:
    await put(store, run_write(key(), items={(ItemKind.TIMER, "a"): None}))
    assert await store.load([key()]) == [StoredRun(key(), b"header", {}, None)]


async def test_items_of_one_key_and_two_kinds_are_two(store: Store) -> None:
    items = {(ItemKind.TIMER, "7"): b"timer", (ItemKind.ACTIVITY, "7"): b"activity"}
    await put(store, run_write(key(), items=dict(items)))
    [run] = await store.load([key()])
    assert run is not None
    assert run.items == items


async def test_two_thousand_items_go_in_and_out(store: Store) -> None:
    items = {(ItemKind.ACTIVITY, str(number)): b"x" for number in range(2_000)}
    await put(store, run_write(key(), items=dict(items)))
    dropped = dict.fromkeys(list(items)[:1_999])
    await put(store, run_write(key(), items=dropped))
    [run] = await store.load([key()])
    assert run is not None
    assert run.items == {(ItemKind.ACTIVITY, "1999"): b"x"}


async def test_the_current_run_is_the_one_that_became_it_last(store: Store) -> None:
    older, newer = key(1), key(2, workflow="workflow-1")
    await put(
        store,
        run_write(older, b"older", becomes_current=True),
        run_write(newer, b"newer", becomes_current=True),
    )
    await put(store, run_write(older, b"older again"))
    [run] = await store.load([CURRENT])
    assert run is not None
    assert (run.key, run.header) == (newer, b"newer")


async def test_a_namespaces_runs_are_not_anothers(store: Store) -> None:
    other = key(namespace="namespace-b")
    await put(
        store,
        run_write(key(), b"a", becomes_current=True, history=[batch(1)]),
        run_write(other, b"b", becomes_current=True),
    )
    found = await store.load([CURRENT, CURRENT._replace(namespace_id="namespace-b")])
    assert [run and run.header for run in found] == [b"a", b"b"]
    assert await store.read_history(other, 1, 9, 1000) == []


@pytest.mark.parametrize(
    "text", ["naïve \N{SNOWMAN} 𝄞", "nul\0inside", "'; --", '"\\', " ", "x" * 1000]
)
async def test_ids_are_any_text(store: Store, text: str) -> None:
    named = RunKey(text, text, text)
    await put(store, run_write(named, becomes_current=True, active=True, wakeup_at_ns=1))
    assert (
        await store.load([named, RunKey(text, text, "")])
        == [StoredRun(named, b"header", {}, 1)] * 2
    )
    assert await store.active_runs(1) == [named]
    assert await due(store, 1, 1) == [(1, named)]
    assert await store.workflow_ids(1) == [(text, text)]


async def test_a_deleted_run_leaves_nothing_but_its_summary(store: Store) -> None:
    gone = run_write(
        key(),
        active=True,
        history=[batch(1)],
        items={(ItemKind.TIMER, "a"): b"1"},
        wakeup_at_ns=1,
        becomes_current=True,
        visibility=visible(1),
    )
    await put(store, gone, run_write(key(2)))
    await put(store, run_write(key(), deleted=True, summary=b"sum"))
    assert await store.load([key(), CURRENT]) == [None, None]
    assert await store.read_history(key(), 1, 9, 1000) == []
    assert await store.active_runs(1) == []
    assert await due(store, 1, NOW_NS) == []
    assert await store.workflow_ids(1) == [(NAMESPACE, "workflow-2")]
    assert await store.read_summaries(NAMESPACE, "", 9) == [(key(), b"sum")]
    await put(store, run_write(key()))
    assert await store.load([key()]) == [StoredRun(key(), b"header", {}, None)]


async def test_deleting_an_old_run_leaves_the_current_one(store: Store) -> None:
    newer = key(2, workflow="workflow-1")
    await put(store, run_write(key(), becomes_current=True))
    await put(store, run_write(newer, becomes_current=True), run_write(key(), deleted=True))
    [run] = await store.load([CURRENT])
    assert run is not None
    assert run.key == newer


async def test_deleting_an_unknown_run_does_nothing(store: Store) -> None:
    await put(store, run_write(key(), deleted=True))
    assert await store.load([key()]) == [None]


async def test_active_runs_are_those_last_written_active(store: Store) -> None:
    await put(store, *(run_write(key(number), active=True) for number in (3, 1, 2)))
    await put(store, run_write(key(9), active=True), shard_id=2)
    await put(store, run_write(key(1), active=False))
    assert await store.active_runs(1) == [key(2), key(3)]


async def test_wakeups_are_due_ascending_and_of_one_shard(store: Store) -> None:
    await put(
        store,
        run_write(key(1), wakeup_at_ns=30),
        run_write(key(2), wakeup_at_ns=10),
        run_write(key(3), wakeup_at_ns=31),
        run_write(key(4)),
    )
    await put(store, run_write(key(5), wakeup_at_ns=1), shard_id=2)
    assert await due(store, 1, 30) == [(10, key(2)), (30, key(1))]


@pytest.mark.parametrize("count", [3, 4])
async def test_wakeups_are_read_a_page_at_a_time_also_those_of_one_time(
    store: Store, count: int
) -> None:
    named = [key(number) for number in range(1, count + 1)]
    await put(store, *(run_write(each, wakeup_at_ns=7) for each in reversed(named)))
    await put(store, run_write(key(9), wakeup_at_ns=8))
    every = [*((7, each) for each in named), (8, key(9))]
    first = await store.wakeups(1, FIRST_WAKEUP, 8, 3)
    assert first == every[:3]
    assert await store.wakeups(1, first[-1], 8, 3) == every[3:]
    assert await store.wakeups(1, first[-1], 7, 3) == every[3:-1]
    assert await store.wakeups(1, every[-1], 8, 3) == []


async def test_a_wakeup_is_rewritten_only_where_it_moves(store: Store) -> None:
    await put(store, run_write(key(), wakeup_at_ns=30))
    # The owner says that nothing moves: the row must stay, whatever the time named.
    await put(store, run_write(key(), wakeup_was_ns=99, wakeup_at_ns=99))
    assert await due(store, 1, 1000) == [(30, key())]
    await put(store, run_write(key(), wakeup_was_ns=30, wakeup_at_ns=20))
    assert await due(store, 1, 1000) == [(20, key())]
    await put(store, run_write(key(), wakeup_was_ns=20, wakeup_at_ns=None))
    assert await due(store, 1, 1000) == []


async def test_workflow_ids_are_listed_once_for_all_their_runs(store: Store) -> None:
    await put(store, *(run_write(key(number, workflow="w")) for number in (1, 2)))
    await put(store, run_write(key(3)))
    assert await store.workflow_ids(1) == [(NAMESPACE, "w"), (NAMESPACE, "workflow-3")]
    assert await store.workflow_ids(2) == []


async def history_of(store: Store, first: int, last: int, bytes_max: int = 10_000) -> list[int]:
    found = await store.read_history(key(), first, last, bytes_max)
    assert all(
        one.blob == batch(one.first_event_id, size_bytes=len(one.blob)).blob for one in found
    )
    return [one.first_event_id for one in found]


async def test_history_is_read_in_whole_batches_that_overlap(store: Store) -> None:
    await put(store, run_write(key(), history=[batch(1, 2), batch(3, 5)]))
    await put(store, run_write(key(), history=[batch(6, 6), batch(7, 9)]))
    assert await history_of(store, 1, 100) == [1, 3, 6, 7]
    assert await history_of(store, 2, 3) == [1, 3]
    assert await history_of(store, 4, 4) == [3]
    assert await history_of(store, 9, 100) == [7]
    assert await history_of(store, 10, 100) == []
    assert await history_of(store, 6, 5) == []


async def test_history_stops_before_it_is_too_large_but_never_before_the_first(
    store: Store,
) -> None:
    await put(store, run_write(key(), history=[batch(n, size_bytes=100) for n in (1, 2, 3)]))
    assert await history_of(store, 1, 9, 199) == [1]
    assert await history_of(store, 1, 9, 200) == [1, 2]
    assert await history_of(store, 1, 9, 201) == [1, 2]
    assert await history_of(store, 2, 9, 0) == [2]


async def test_history_of_the_current_run_is_found_by_its_workflow_id(store: Store) -> None:
    await put(store, run_write(key(), history=[batch(1)], becomes_current=True))
    assert await store.read_history(CURRENT, 1, 9, 1000) == [batch(1)]


async def test_a_history_batch_written_again_refuses_the_whole_commit(store: Store) -> None:
    epochs = await own(store)
    await put(store, run_write(key(), b"first", history=[batch(1)]))
    again = run_write(key(), b"again", history=[batch(1)])
    other = run_write(key(2), b"other")
    with pytest.raises(StoreRejected):
        await store.commit(
            [ShardWrite(2, epochs[2], 9, [other]), ShardWrite(1, epochs[1], 9, [again], b"facts")]
        )
    assert [run and run.header for run in await store.load([key(), key(2)])] == [b"first", None]
    assert [lease.sequence for lease in await store.leases()] == [0, 1, 0, 0]
    assert await store.read_facts(0, 9) == []


async def test_a_refused_commit_leaves_the_store_usable(store: Store) -> None:
    await put(store, run_write(key(), history=[batch(1)]))
    with pytest.raises(StoreRejected):
        await put(store, run_write(key(), history=[batch(1)]))
    await put_visible(store, visible(2))
    await put(store, run_write(key(), b"later", history=[batch(2)]))
    assert await history_of(store, 1, 9) == [1, 2]


async def test_many_runs_go_in_one_commit(store: Store) -> None:
    epochs = await own(store)
    numbers = range(1, 301)
    writes = [
        ShardWrite(
            shard,
            epochs[shard],
            1,
            [
                run_write(key(n), str(n).encode(), history=[batch(1), batch(2)])
                for n in numbers
                if n % 4 == shard
            ],
        )
        for shard in range(4)
    ]
    assert await store.commit(writes) == frozenset()
    found = await store.load([key(n) for n in numbers])
    assert [run and run.header for run in found] == [str(n).encode() for n in numbers]
