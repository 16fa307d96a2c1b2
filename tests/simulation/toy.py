"""A counter per shard, with leases: the smallest system that needs everything the kernel gives.

It exists to prove the kernel. Its promise: every acknowledged addition is counted exactly once,
and no two additions are told the same number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.env import Env
from engine.errors import StoreError, Unavailable
from engine.ids import shard_of
from engine.peer import Peer
from engine.persistence.protocols import RunKey, RunWrite, ShardWrite, Store

LEASE_NS = 3_000_000_000
TAKE_SECONDS = 1.0
REFUSED = b"!"


@dataclass
class Counter:
    """One shard in its owner's memory: the additions by id, in order."""

    epoch: int
    sequence: int
    ids: list[str] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


def key_of(shard_id: int) -> RunKey:
    return RunKey("toy", str(shard_id), "")


class ToyNode:
    """Takes shards whose lease is free, adds for them, forwards what others own."""

    def __init__(self, name: str, env: Env, store: Store, peer: Peer, shard_count: int) -> None:
        self._name = name
        self._env = env
        self._store = store
        self._peer = peer
        self._shard_count = shard_count
        self._counters: dict[int, Counter] = {}

    async def start(self) -> None:
        await self._store.open(self._shard_count)
        self._env.spawn("leases", self._keep_leases())

    async def _keep_leases(self) -> None:
        while True:
            try:
                await self._take()
            except StoreError:
                self._counters.clear()
            await self._env.sleep(TAKE_SECONDS)

    async def _take(self) -> None:
        now_ns = self._env.now_ns()
        epochs = {shard_id: counter.epoch for shard_id, counter in self._counters.items()}
        standing = await self._store.renew(epochs, now_ns + LEASE_NS)
        for shard_id in epochs.keys() - standing:
            self._counters.pop(shard_id, None)
        free = [shard for shard in range(self._shard_count) if shard not in self._counters]
        taken = await self._store.acquire(free, self._name, now_ns, now_ns + LEASE_NS)
        for lease in taken:
            (stored,) = await self._store.load([key_of(lease.shard_id)])
            ids = stored.header.decode().split() if stored else []
            self._counters[lease.shard_id] = Counter(lease.epoch, lease.sequence, ids)

    async def serve(self, method: str, payload: bytes) -> bytes:
        return await self._add(payload.decode())

    async def add(self, addition_id: str) -> int:
        """How many additions its shard had when this one was counted, itself included."""
        answer = await self._add(addition_id)
        if answer == REFUSED:
            shard_id = shard_of("toy", addition_id, self._shard_count)
            try:
                owner = (await self._store.leases())[shard_id].owner
            except StoreError:
                raise Unavailable from None
            answer = await self._peer.call(owner, "add", addition_id.encode())
        if answer == REFUSED:
            raise Unavailable
        return int(answer)

    async def _add(self, addition_id: str) -> bytes:
        shard_id = shard_of("toy", addition_id, self._shard_count)
        counter = self._counters.get(shard_id)
        if counter is None:
            return REFUSED
        async with counter.turn:
            if self._counters.get(shard_id) is not counter:
                return REFUSED
            if addition_id not in counter.ids and not await self._write(
                shard_id, counter, addition_id
            ):
                return REFUSED
            return str(counter.ids.index(addition_id) + 1).encode()

    async def _write(self, shard_id: int, counter: Counter, addition_id: str) -> bool:
        ids = [*counter.ids, addition_id]
        run = RunWrite(key_of(shard_id), " ".join(ids).encode(), active=False)
        write = ShardWrite(shard_id, counter.epoch, counter.sequence + 1, [run])
        try:
            fenced = await self._store.commit([write])
        except StoreError:
            fenced = frozenset((shard_id,))
        if shard_id in fenced:
            self._counters.pop(shard_id, None)
            return False
        counter.sequence += 1
        counter.ids = ids
        return True


def toy_factory(shard_count: int) -> Callable[[str, Env, Store, Peer], ToyNode]:
    def make(name: str, env: Env, store: Store, peer: Peer) -> ToyNode:
        return ToyNode(name, env, store, peer, shard_count)

    return make
