"""A fixed sequence of commits, each of which a reader can find again, whole, or not at all."""

from __future__ import annotations

import asyncio

from engine.persistence.protocols import HistoryBatch, ItemKind, RunWrite, ShardWrite, Store
from engine.visibility.query import VisibilityQuery
from tests.engine.persistence.values import NAMESPACE, SHARD_COUNT, key, run_write, visible

ROWS_PER_COMMIT = 3
FAT_BLOB_BYTES = 3_000
HISTORY_BYTES_MAX = 1 << 20


def marked(step: int) -> bytes:
    return b"step-%d" % step


def writes(step: int, epochs: dict[int, int]) -> list[ShardWrite]:
    """The commit of a step: one run in each of two shards, and a run that all steps extend."""
    shards = step % SHARD_COUNT, (step + 1) % SHARD_COUNT
    first, second = (
        run_write(
            key(2 * step + place),
            marked(step),
            active=True,
            history=[HistoryBatch(1, 2, marked(step) + bytes(FAT_BLOB_BYTES))],
            items={(ItemKind.TIMER, "timer"): marked(step)},
            wakeup_at_ns=step + 1,
            becomes_current=True,
            visibility=visible(2 * step + place),
        )
        for place in (1, 2)
    )
    runs: list[list[RunWrite]] = [[first], [second]]
    runs[shards.index(0) if 0 in shards else 0].append(
        run_write(key(0), marked(step), history=[HistoryBatch(step + 1, step + 1, marked(step))])
    )
    return [
        ShardWrite(shard, epochs[shard], step + 1, own_runs, marked(step))
        for shard, own_runs in zip(shards, runs, strict=True)
    ]


async def steps_found(store: Store, step_count: int) -> set[int]:
    """The steps whose rows are there; a step of which only a part is there fails the test."""
    facts: dict[bytes, int] = {}
    for fact in await store.read_facts(0, 2 * step_count + 1):
        facts[fact.blob] = facts.get(fact.blob, 0) + 1
    batches = await store.read_history(key(0), 1, step_count, HISTORY_BYTES_MAX)
    extended = {batch.first_event_id - 1 for batch in batches}
    assert all(batch.blob == marked(batch.first_event_id - 1) for batch in batches)
    listed = {
        row.run_id
        for row in await store.list_visibility(VisibilityQuery(NAMESPACE, page_size=2 * step_count))
    }
    named = [key(number) for number in range(1, 2 * step_count + 1)]
    stored = await store.load([each._replace(run_id="") for each in named])
    reading = (store.read_history(each, 1, 2, HISTORY_BYTES_MAX) for each in named)
    histories = await asyncio.gather(*reading)
    found = set()
    for step in range(step_count):
        both = range(2 * step, 2 * step + 2)
        signs = {
            facts.get(marked(step), 0) == 2,
            step in extended,
            *(named[place].run_id in listed for place in both),
            *(stored[place] is not None for place in both),
            *(bool(histories[place]) for place in both),
        }
        assert len(signs) == 1, f"step {step} was written in part"
        if not signs.pop():
            continue
        found.add(step)
        for place in both:
            run = stored[place]
            assert run is not None
            assert (run.header, run.wakeup_at_ns) == (marked(step), step + 1)
            assert run.items == {(ItemKind.TIMER, "timer"): marked(step)}
            [batch] = histories[place]
            assert batch.blob == marked(step) + bytes(FAT_BLOB_BYTES)
    return found
