"""Shards and task queues that change hands while something is under way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from engine.cell.directory import Directory
from engine.cell.shard import ShardParts
from engine.errors import StoreUnavailable
from engine.measures import Measures
from engine.node import IDLE_QUEUE_SECONDS
from engine.persistence.memory import MemoryStore
from engine.persistence.protocols import RunKey, ShardWrite
from tests.engine.cell import Cell, in_cell
from tests.simulation.env import SimEnv
from tests.simulation.loop import Host, SimLoop, run


@in_cell
async def test_a_task_whose_queue_was_forgotten_during_its_commit_is_handed_out(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = cell.store.commit

    async def commit_late(writes: Sequence[ShardWrite]) -> frozenset[int]:
        await asyncio.sleep(IDLE_QUEUE_SECONDS + 1)
        return await commit(writes)

    monkeypatch.setattr(cell.store, "commit", commit_late)
    await cell.start()
    monkeypatch.setattr(cell.store, "commit", commit)
    assert (await cell.poll()).task_token
    await cell.terminate()


class SlowToRead(MemoryStore):
    """A store that tells a shard's ids when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_read = asyncio.Event()

    async def workflow_ids(self, shard_id: int) -> list[tuple[str, str]]:
        await self.may_read.wait()
        return await super().workflow_ids(shard_id)


def slow_directory(loop: SimLoop) -> tuple[Directory, SlowToRead]:
    """The directory of a cell of one shard, which moves when its store may be read."""
    env = SimEnv(loop, Host("node"), random.Random(0), skew_seconds=0, drift=0)
    store = SlowToRead()
    directory = Directory("node", env, store, 1)
    unused: Any = None
    measures = Measures(env.monotonic)
    parts = ShardParts(env, store, unused, unused, lambda: None, measures, retention_ended=unused)
    directory.wire(parts, lambda shard_id: None, lambda shard_id: None)
    return directory, store


def test_a_shard_offers_again_what_it_offered_while_it_was_taken_over() -> None:
    loop = SimLoop(0, in_order=True)

    async def main() -> None:
        directory, store = slow_directory(loop)
        await store.open(1)
        await directory.tick()
        await asyncio.sleep(0)
        assert not list(directory.shards)
        assert [shard.shard_id for shard in directory.offering] == [0]
        store.may_read.set()
        await asyncio.sleep(1)
        assert [shard.shard_id for shard in directory.shards] == [0]
        assert list(directory.offering) == list(directory.shards)

    run(loop, main())


@pytest.mark.parametrize("is_away", [False, True])
def test_a_node_that_leaves_does_not_end_what_it_was_taking_over(
    is_away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = SimLoop(0, in_order=True)

    async def away(shard_id: int) -> list[RunKey]:
        raise StoreUnavailable("the store is closed")

    async def main() -> None:
        directory, store = slow_directory(loop)
        await store.open(1)
        await directory.tick()
        directory.leave()
        if is_away:
            monkeypatch.setattr(store, "active_runs", away)
        store.may_read.set()
        await asyncio.sleep(1)
        assert not list(directory.offering)
        assert directory.store_error is None

    run(loop, main())
