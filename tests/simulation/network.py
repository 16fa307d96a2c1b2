"""The network between nodes, and between clients and nodes: late, lossy, doubled, cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from engine.errors import Unavailable
from engine.peer import PeerServer
from tests.simulation.loop import Host, SimLoop, settle
from tests.simulation.swarm import Buggify

T = TypeVar("T")
Work = Callable[[Any], Awaitable[T]]

CLIENTS = "clients"
"""The name of everything outside the cell."""

PEER_TIMEOUT_SECONDS = 8.0
"""Longer than the longest poll that one node passes on to another."""

SLOW_SECONDS_MAX = 2.0


class Lost(Exception):
    """No answer came. The call may have been executed, or may be later."""


class SimNet:
    """Carries calls between named hosts.

    Links are one-way: (source, target) in `cut` loses everything, `clogged` holds it back until
    a virtual time. A call to a dead host fails at once, a call whose host dies under it too. A call
    reaches the life of the host that it was sent to, or none, as on a connection.
    """

    def __init__(
        self, loop: SimLoop, rng: random.Random, buggify: Buggify, *, link_seconds: float
    ) -> None:
        self._loop = loop
        self._rng = rng
        self._buggify = buggify
        self._link_seconds = link_seconds
        self._servers: dict[str, tuple[Host, Any]] = {}
        self._served: dict[Host, dict[asyncio.Future[Any], None]] = {}
        self.cut: dict[tuple[str, str], None] = {}
        self.clogged: dict[tuple[str, str], float] = {}

    def listen(self, host: Host, server: Any) -> None:
        """From now on calls to the host's name reach `server`."""
        self._servers[host.name] = (host, server)
        self._served[host] = {}

    def reset(self, host: Host) -> None:
        """The host died: whoever waits for an answer of it learns so."""
        for answer in self._served.pop(host, {}):
            self._loop.outside(self._latency(), settle, answer, None, Lost("connection reset"))

    def heal(self) -> None:
        self.cut.clear()
        self.clogged.clear()

    async def call(self, source: str, target: str, work: Work[T], timeout_seconds: float) -> T:
        """The outcome of `work(server of target)`, run there. Raises Lost when none arrives."""
        answer: asyncio.Future[T] = self._loop.create_future()
        # A client's request arrives once or not at all: its answer would say nothing definite if
        # another copy of it came later.
        copies = 2 if source != CLIENTS and self._buggify("link.duplicate") else 1
        tasks: list[asyncio.Task[None]] = []
        life, server = self._servers.get(target, (None, None))

        def arrive() -> None:
            if life is None or not life.alive:
                self._reply(target, source, answer, None, Lost("connection refused"))
                return
            self._served[life][answer] = None
            serving = self._serve(life, source, lambda: work(server), answer)
            tasks.append(life.run(self._start, serving, f"{target}<{source}"))

        for _ in range(copies):
            delay = self._transit(source, target)
            if delay is not None:
                self._loop.outside(delay, arrive)
        expiry = self._loop.call_later(timeout_seconds, settle, answer, None, Lost("timeout"))
        try:
            return await answer
        finally:
            expiry.cancel()
            self._withdraw(source, target, tasks)

    def _withdraw(self, source: str, target: str, tasks: list[asyncio.Task[None]]) -> None:
        """The caller no longer waits; often, but not always, the other side notices."""
        for task in tasks:
            if not task.done() and (source, target) not in self.cut and self._rng.random() < 0.5:
                self._loop.outside(self._latency(), task.cancel)

    def _start(self, serving: Any, name: str) -> asyncio.Task[None]:
        return self._loop.create_task(serving, name=name)

    async def _serve(
        self, host: Host, source: str, begin: Callable[[], Awaitable[T]], answer: asyncio.Future[T]
    ) -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = await begin()
        except asyncio.CancelledError:
            failure = Lost("cancelled")
        except Exception as error:
            failure = error
        self._served[host].pop(answer, None)
        self._reply(host.name, source, answer, result, failure)

    def _reply(
        self,
        source: str,
        target: str,
        answer: asyncio.Future[T],
        result: T | None,
        failure: BaseException | None,
    ) -> None:
        delay = self._transit(source, target)
        if delay is not None:
            self._loop.outside(delay, settle, answer, result, failure)

    def _transit(self, source: str, target: str) -> float | None:
        """Seconds that a message takes now, or None where it is lost."""
        if (source, target) in self.cut or self._buggify("link.drop"):
            return None
        waits = max(0.0, self.clogged.get((source, target), 0.0) - self._loop.time())
        slow = self._rng.random() * SLOW_SECONDS_MAX if self._buggify("link.slow") else 0.0
        return waits + slow + self._latency()

    def _latency(self) -> float:
        return self._link_seconds * (0.5 + self._rng.expovariate(2.0))


class SimPeer:
    """`Peer` of one host over the network."""

    def __init__(self, net: SimNet, host: Host) -> None:
        self._net = net
        self._host = host

    async def call(self, node: str, method: str, payload: bytes) -> bytes:
        def work(server: PeerServer) -> Awaitable[bytes]:
            return server.serve(method, payload)

        try:
            return await self._net.call(self._host.name, node, work, PEER_TIMEOUT_SECONDS)
        except Lost as error:
            raise Unavailable(f"no answer of {node} to {method}: {error}") from None
