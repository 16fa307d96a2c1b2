"""Nodes on machines that take another time for the present one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.cell.directory import Directory
from engine.cell.shard import ShardParts
from engine.limits import SHARD_LEASE_SECONDS
from engine.measures import Measures
from engine.node import Node, NodeConfig
from engine.persistence.memory import MemoryStore
from tests.engine.cell import (
    Alone,
    Cell,
    complete_workflow,
    continue_as_new,
    play,
    schedule_activity,
)
from tests.simulation.env import SimEnv
from tests.simulation.loop import Host, SimLoop, run

HOUR_SECONDS = 3600
SHARD_COUNT = 2


class Nodes:
    """The directories of some nodes over one store, each with a clock of its own."""

    def __init__(self) -> None:
        self.loop = SimLoop(0, in_order=True)
        self.store = MemoryStore()

    def node(self, name: str, clock_off_seconds: float) -> Directory:
        env = SimEnv(
            self.loop, Host(name), random.Random(0), skew_seconds=clock_off_seconds, drift=0
        )
        directory = Directory(name, env, self.store, SHARD_COUNT)
        unused: Any = None
        measures = Measures(env.monotonic)
        parts = ShardParts(
            env, self.store, unused, unused, lambda: None, measures, retention_ended=unused
        )
        directory.wire(parts, lambda shard_id: None, lambda shard_id: None)
        return directory

    async def owners(self) -> list[str]:
        return [lease.owner for lease in await self.store.leases()]


def with_nodes(scenario: Callable[[Nodes], Awaitable[None]], nodes: Nodes) -> None:
    async def main() -> None:
        await nodes.store.open(SHARD_COUNT)
        await scenario(nodes)

    run(nodes.loop, main())


@pytest.mark.parametrize(
    ("owner_off_seconds", "other_off_seconds"), [(0, HOUR_SECONDS), (-HOUR_SECONDS, 0)]
)
def test_a_shard_stays_with_its_owner_however_much_another_clock_is_ahead(
    owner_off_seconds: float, other_off_seconds: float
) -> None:
    async def scenario(nodes: Nodes) -> None:
        first = nodes.node("first", owner_off_seconds)
        second = nodes.node("second", other_off_seconds)
        for _ in range(SHARD_COUNT):
            await first.tick()
        assert await nodes.owners() == ["first", "first"]
        for _ in range(4 * SHARD_LEASE_SECONDS):
            await asyncio.sleep(1)
            await first.tick()
            await second.tick()
        assert await nodes.owners() == ["first", "first"]

    with_nodes(scenario, Nodes())


@pytest.mark.parametrize("off_seconds", [HOUR_SECONDS, -HOUR_SECONDS])
def test_the_shards_of_a_dead_node_are_taken_soon_however_wrong_its_clock_was(
    off_seconds: float,
) -> None:
    async def scenario(nodes: Nodes) -> None:
        dead, living = nodes.node("dead", off_seconds), nodes.node("living", 0)
        for _ in range(SHARD_COUNT):
            await dead.tick()
        for _ in range(2 * SHARD_LEASE_SECONDS):
            await living.tick()
            await asyncio.sleep(1)
        assert await nodes.owners() == ["living", "living"]

    with_nodes(scenario, Nodes())


def test_a_lease_that_is_written_again_is_later_than_before_also_by_a_clock_set_back() -> None:
    async def scenario(nodes: Nodes) -> None:
        ahead = nodes.node("node", HOUR_SECONDS)
        await ahead.tick()
        before = max(lease.expires_at_ns for lease in await nodes.store.leases())
        restarted = nodes.node("node", 0)
        for _ in range(SHARD_COUNT):
            await restarted.tick()
        assert min(lease.expires_at_ns for lease in await nodes.store.leases()) > before

    with_nodes(scenario, Nodes())


class ClockSetBack(Cell):
    """A cell whose node begins each life on a machine whose clock is a minute behind the last."""

    lives = 0

    def _new_node(self) -> Node:
        self.lives += 1
        env = SimEnv(
            self.loop, Host("node"), random.Random(0), skew_seconds=-60 * self.lives, drift=0
        )
        return Node("node", env, self.store, Alone(), NodeConfig(4, {1: b"k" * 32}, 1))


def test_an_activity_is_handed_out_by_a_node_whose_clock_is_behind_its_schedule() -> None:
    async def scenario(cell: Cell) -> None:
        await cell.start()
        await cell.step(schedule_activity())
        await cell.crash_and_restart()
        cell.timeout_seconds = 10
        task = await cell.poll_activity()
        assert task.attempt == 1
        await cell.complete_activity(task)
        await cell.step(complete_workflow())

    play(ClockSetBack(), scenario)


def test_a_next_run_begins_no_earlier_than_the_last_ended_by_a_clock_set_back() -> None:
    async def scenario(cell: Cell) -> None:
        first = await cell.start()
        await cell.fail_workflow_task(await cell.poll())
        # The next attempt's events are written when it ends, with the times it had.
        await asyncio.sleep(5)
        task = await cell.poll()
        await cell.crash_and_restart()
        await cell.complete(task, continue_as_new())
        before, after = await cell.history(run_id=first), await cell.history()
        assert after[0].event_time.ToNanoseconds() >= before[-1].event_time.ToNanoseconds()
        await cell.step(complete_workflow())

    play(ClockSetBack(), scenario)
