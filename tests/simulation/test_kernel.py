"""The simulation kernel keeps its own promises, shown on a toy system."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import replace
from random import Random

import pytest

from engine.env import Env
from engine.errors import Unavailable
from engine.peer import Peer
from engine.persistence.protocols import Store
from tests.simulation.bugs import AcknowledgedBeforeCommit, FencedRowsWritten
from tests.simulation.cluster import Cluster
from tests.simulation.disk import SimDisk
from tests.simulation.env import SimEnv
from tests.simulation.loop import Deadlock, Host, SimLoop, StepLimit, current_host, run
from tests.simulation.network import CLIENTS, Lost
from tests.simulation.swarm import NEMESES, Swarm, draw_swarm
from tests.simulation.toy import ToyNode, key_of, toy_factory
from tests.simulation.traces import traces_of

ADDITION_COUNT = 40
TOY_SEEDS = range(40)


class ToyRun:
    """Additions against a cluster under torment; `losses` says what went wrong."""

    def __init__(self, swarm: Swarm, store: type[SimDisk]) -> None:
        self.loop = SimLoop(swarm.seed, in_order=swarm.in_order)
        self.cluster = Cluster(self.loop, swarm, toy_factory(swarm.shard_count), store)
        self.answers: dict[str, int] = {}
        self.losses: list[str] = []
        self.unhealed = 0

    async def main(self) -> None:
        for name in self.cluster.names:
            self.cluster.start(name)
        nemesis = self.loop.create_task(self.cluster.torment(), name="nemesis")
        async with asyncio.TaskGroup() as clients:
            for number in range(4):
                clients.create_task(self._client(number), name=f"client-{number}")
        nemesis.cancel()
        self.cluster.heal()
        await asyncio.sleep(10)
        for number in range(10):
            await self._add(f"healed-{number}")
        self.unhealed = sum(f"healed-{number}" not in self.answers for number in range(10))
        await self._compare()

    async def _client(self, number: int) -> None:
        for turn in range(ADDITION_COUNT // 4):
            await asyncio.sleep(self.cluster.rng.random())
            addition_id = f"{number}.{turn}"
            for _ in range(2):
                await self._add(addition_id)

    async def _add(self, addition_id: str) -> None:
        def work(node: ToyNode) -> asyncio.Future[int]:
            return node.add(addition_id)  # type: ignore[return-value]

        name = self.cluster.rng.choice(self.cluster.names)
        try:
            answer = await self.cluster.net.call(CLIENTS, name, work, 5.0)
        except (Lost, Unavailable):
            return
        if self.answers.setdefault(addition_id, answer) != answer:
            self.losses.append(f"{addition_id} was told {answer} and another number")

    async def _compare(self) -> None:
        shard_count = self.cluster.swarm.shard_count
        stored = await self.cluster.disk.rows.load([key_of(s) for s in range(shard_count)])
        counted = [run.header.decode().split() for run in stored if run is not None]
        places = {name: place for ids in counted for place, name in enumerate(ids, 1)}
        if len(places) != sum(map(len, counted)):
            self.losses.append("an addition was counted twice")
        for addition_id, answer in self.answers.items():
            if places.get(addition_id) != answer:
                self.losses.append(f"{addition_id} was told {answer}, is {places.get(addition_id)}")


def run_toy(swarm: Swarm, store: type[SimDisk] = SimDisk) -> ToyRun:
    toy = ToyRun(swarm, store)
    run(toy.loop, toy.main())
    toy.cluster.disk.close()
    assert not toy.loop.failures
    return toy


@pytest.mark.parametrize("seed", TOY_SEEDS)
def test_no_acknowledged_addition_is_lost_or_counted_twice(seed: int) -> None:
    toy = run_toy(draw_swarm(seed))
    assert (toy.losses, toy.unhealed) == ([], 0)


@pytest.mark.parametrize("bug", [FencedRowsWritten, AcknowledgedBeforeCommit])
def test_a_bug_planted_in_the_toys_store_is_found(bug: type[SimDisk]) -> None:
    swarms = (replace(draw_swarm(seed), nemeses=NEMESES) for seed in TOY_SEEDS)
    assert any(run_toy(swarm, bug).losses for swarm in swarms)


def test_one_seed_is_one_execution_whatever_the_hash_seed() -> None:
    script = (
        "from tests.simulation.test_kernel import *\n"
        "for seed in range(6): print(run_toy(draw_swarm(seed)).loop.trace)"
    )

    first = traces_of(script, "1")
    assert first == traces_of(script, "2")
    assert len(set(first)) == len(first)


def test_virtual_time_jumps_and_timeouts_work() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 1800)
        return loop.time()

    assert run(SimLoop(1), main()) == 5400


def test_a_deadlock_is_an_error_that_names_who_waits() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="main"):
        run(SimLoop(1), main())


def test_a_livelock_ends_at_the_step_limit() -> None:
    def again() -> None:
        asyncio.get_running_loop().call_soon(again)

    async def main() -> None:
        again()
        await asyncio.Event().wait()

    with pytest.raises(StepLimit):
        run(SimLoop(1, step_count_max=5_000), main())


def test_seeds_interleave_differently_and_in_order_is_first_come_first_served() -> None:
    def order(seed: int, in_order: bool) -> list[int]:
        seen: list[int] = []

        async def main() -> None:
            for number in range(8):
                asyncio.get_running_loop().call_soon(seen.append, number)
            await asyncio.sleep(1)

        run(SimLoop(seed, in_order=in_order), main())
        return seen

    assert order(1, in_order=True) == list(range(8))
    assert len({tuple(order(seed, in_order=False)) for seed in range(10)}) == 10


def test_a_killed_host_runs_no_clean_up_and_a_paused_one_goes_on_later() -> None:
    seen: list[tuple[str, float]] = []

    async def live(name: str) -> None:
        try:
            await asyncio.sleep(5)
        finally:
            seen.append((name, asyncio.get_running_loop().time()))

    async def main(loop: SimLoop) -> None:
        killed, paused = Host("killed"), Host("paused")
        for host in (killed, paused):
            host.run(lambda host=host: loop.create_task(live(host.name), name=host.name))
        await asyncio.sleep(1)
        loop.kill(killed)
        loop.pause(paused)
        await asyncio.sleep(9)
        assert seen == []
        loop.resume(paused)
        await asyncio.sleep(1)
        assert seen == [("paused", 10.0)]

    loop = SimLoop(1)
    run(loop, main(loop))


def test_what_a_node_spawns_is_its_own_and_takes_nothing_of_the_caller_along() -> None:
    caller: ContextVar[str] = ContextVar("caller", default="nobody")
    seen: list[tuple[str, str]] = []

    def look() -> None:
        host = current_host()
        assert host is not None
        seen.append((host.name, caller.get()))

    async def work() -> None:
        look()

    async def main(loop: SimLoop) -> None:
        env = SimEnv(loop, Host("node"), Random(0), skew_seconds=0, drift=0)
        caller.set("client")
        env.spawn("work", work())
        env.call_later(1, look)
        await asyncio.sleep(2)

    loop = SimLoop(1)
    run(loop, main(loop))
    assert seen == [("node", "nobody"), ("node", "nobody")]


def test_an_exception_that_escapes_a_task_of_a_node_fails_the_seed() -> None:
    class Broken(ToyNode):
        async def _keep_leases(self) -> None:
            raise ZeroDivisionError

    loop = SimLoop(1)
    swarm = replace(draw_swarm(1), nemeses=(), sites=())

    def broken(name: str, env: Env, store: Store, peer: Peer) -> Broken:
        return Broken(name, env, store, peer, swarm.shard_count)

    cluster = Cluster(loop, swarm, broken, SimDisk)

    async def main() -> None:
        cluster.start("node-0")
        await asyncio.sleep(1)

    run(loop, main())
    assert "ZeroDivisionError" in loop.failures[0]
