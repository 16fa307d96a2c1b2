"""A cell of several nodes on the simulated world, and the means to hurt them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Protocol

from engine.env import Env
from engine.peer import Peer, PeerServer
from engine.persistence.protocols import Store
from tests.simulation.disk import Disk, SimDisk
from tests.simulation.env import SimEnv
from tests.simulation.history_log import Record
from tests.simulation.loop import Host, SimLoop
from tests.simulation.network import CLIENTS, SimNet, SimPeer
from tests.simulation.swarm import Buggify, Swarm

RESTART_SECONDS_MAX = 6.0
START_RETRY_SECONDS = 0.5
JUMP_SECONDS = 3600.0
CLOCK_OFF_SECONDS = (20.0, 200.0, 3600.0)
"""How wrong the clock of a machine may be when a node starts on it."""


class Server(PeerServer, Protocol):
    """A node as the simulator sees it; the engine's, or a test's toy."""

    async def start(self) -> None:
        """Opens the store and takes part; may fail while the store does."""


ServerFactory = Callable[[str, Env, Store, Peer], Server]


class Cluster:
    """Starts, kills, stops and restarts nodes over one shared store."""

    def __init__(
        self, loop: SimLoop, swarm: Swarm, factory: ServerFactory, store: type[SimDisk]
    ) -> None:
        self.loop = loop
        self.swarm = swarm
        self.record = Record(skew_seconds_max=swarm.skew_seconds_max)
        self.buggify = Buggify(swarm)
        self.rng = random.Random(f"{swarm.seed}/world")
        self.net = SimNet(
            loop,
            random.Random(f"{swarm.seed}/net"),
            self.buggify,
            link_seconds=swarm.link_seconds,
        )
        self.disk = Disk(
            loop,
            random.Random(f"{swarm.seed}/disk"),
            self.buggify,
            self.record,
            commit_seconds=swarm.commit_seconds,
            in_files=swarm.is_on_sqlite,
        )
        self.names = tuple(f"node-{number}" for number in range(swarm.node_count))
        self.hosts: dict[str, Host] = {}
        self.envs: dict[str, SimEnv] = {}
        self._lives = 0
        self.down_until = 0.0
        self._factory = factory
        self._store = store

    def start(self, name: str, clock_off_seconds: float = 0.0) -> None:
        """A new life of `name`, with another clock skew and other randomness."""
        self._lives += 1
        host = Host(name)
        self.hosts[name] = host
        skew = self.swarm.skew_seconds_max
        env = SimEnv(
            self.loop,
            host,
            random.Random(f"{self.swarm.seed}/{name}/{self._lives}"),
            skew_seconds=clock_off_seconds + self.rng.uniform(-skew, skew),
            drift=self.rng.uniform(-1, 1) * self.swarm.drift_max,
        )
        self.envs[name] = env
        if clock_off_seconds:
            self.record.sometimes["a node began with a wrong clock"] += 1
            self.record.clock_off_seconds_max = max(
                self.record.clock_off_seconds_max, abs(clock_off_seconds)
            )
        store = self._store(self.disk, host)
        server = host.run(self._factory, name, env, store, SimPeer(self.net, host))
        host.run(self._spawn, self._live(host, server), f"{name}/start")

    def _spawn(self, work: Any, name: str) -> None:
        self.loop.create_task(work, name=name)

    async def _live(self, host: Host, server: Server) -> None:
        try:
            await server.start()
        except Exception as error:
            self.record.sometimes["a node could not start at once"] += 1
            if not self.disk.is_faulty():
                self.loop.failures.append(f"{host.name} did not start: {error!r}")
            self.loop.outside(START_RETRY_SECONDS, self._start_again, host)
            return
        self.net.listen(host, server)

    def _start_again(self, host: Host) -> None:
        if self.hosts[host.name] is host and host.alive:
            self.loop.kill(host)
            self.start(host.name)

    def crash(self, name: str) -> None:
        """Kills `name` between two callbacks; what it sent is still on its way."""
        host = self.hosts[name]
        if host.alive:
            self.loop.kill(host)
            self.net.reset(host)
            self.record.sometimes["a node crashed"] += 1

    async def stay_down(self, seconds: float) -> None:
        """No node runs for a while; then all start, with clocks that are right."""
        for name in self.names:
            self.crash(name)
        self.down_until = self.loop.time() + seconds
        await asyncio.sleep(seconds)
        for name in self.names:
            self.start(name)

    def heal(self) -> None:
        """From now on nothing goes wrong: all nodes run, all links and the disk are well."""
        self.buggify.calm()
        self.net.heal()
        self.disk.heal()
        for name in self.names:
            host = self.hosts[name]
            if host.alive:
                self.loop.resume(host)
            else:
                self.start(name)

    async def torment(self) -> None:
        """One misfortune after another, of the kinds the swarm allows, until cancelled."""
        while self.swarm.nemeses:
            await asyncio.sleep(self.rng.expovariate(1 / self.swarm.nemesis_pause_seconds))
            kind = self.rng.choice(self.swarm.nemeses)
            getattr(self, f"_{kind}")(self.rng.choice(self.names))

    def _crash(self, name: str) -> None:
        self._restart(name, 0.0)

    def _wrong_clock(self, name: str) -> None:
        """A node restarts on a machine that takes another time for the present one."""
        off_seconds = self.rng.choice(CLOCK_OFF_SECONDS) * self.rng.choice((-1, 1))
        self._restart(name, off_seconds)

    def _power_cut(self, name: str) -> None:
        """The power of all machines fails at once, that of the store's too."""
        for each in self.names:
            self._restart(each, 0.0)
        self.disk.cut_power()
        self.record.sometimes["the power was cut"] += 1

    def _restart(self, name: str, clock_off_seconds: float) -> None:
        if not self.hosts[name].alive:
            return
        self.crash(name)
        pause = self.rng.random() * RESTART_SECONDS_MAX
        self.loop.outside(pause, self._revive, name, clock_off_seconds)

    def _revive(self, name: str, clock_off_seconds: float) -> None:
        if not self.hosts[name].alive and self.loop.time() > self.down_until:
            self.start(name, clock_off_seconds)

    def _pause(self, name: str) -> None:
        """A node stands still, often for longer than its leases: a zombie when it wakes."""
        host = self.hosts[name]
        if host.state == "up":
            self.loop.pause(host)
            self.loop.outside(self.rng.uniform(0.1, 15), self._wake, host)

    def _wake(self, host: Host) -> None:
        if host.state == "paused":
            self.record.sometimes["a zombie woke up"] += 1
            self.loop.resume(host)

    def _partition(self, name: str) -> None:
        """Cuts one direction or both between `name` and another node."""
        other = self.rng.choice([other for other in self.names if other != name])
        links = [(name, other), (other, name)]
        for link in links[: self.rng.randint(1, 2)]:
            self.net.cut[link] = None
        self.record.sometimes["a link was cut"] += 1
        self.loop.outside(self.rng.uniform(0.5, 10), self._mend, links)

    def _mend(self, links: list[tuple[str, str]]) -> None:
        for link in links:
            self.net.cut.pop(link, None)

    def _clog(self, name: str) -> None:
        """Holds back what `name` sends and receives, then lets all of it through at once."""
        until = self.loop.time() + self.rng.uniform(0.2, 5)
        for other in (*self.names, CLIENTS):
            self.net.clogged[name, other] = self.net.clogged[other, name] = until

    def _spike(self, name: str) -> None:
        self.disk.spike_until = self.loop.time() + self.rng.uniform(0.5, 5)

    def _full(self, name: str) -> None:
        self.disk.full_until = self.loop.time() + self.rng.uniform(0.5, 5)

    def _jump(self, name: str) -> None:
        """Sets the wall clock of `name` an hour forward or back; its next life starts right."""
        self.envs[name].jump(self.rng.choice((-JUMP_SECONDS, JUMP_SECONDS)))
        self.record.sometimes["a wall clock jumped"] += 1
