"""Who owns which shard: this node's leases, and what it knows of the others'.

A lease is renewed every second and lasts five; whoever sees one stand still for longer, by its own
monotonic clock, may take the shard under a new epoch: what a wall clock shows does not matter. The
fence in the store makes a late owner's writes void, and an owner stops reading from memory before
its lease can be taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from engine.cell.shard import Shard, ShardParts
from engine.env import Env
from engine.errors import StoreError, StoreFull, Unavailable
from engine.history.protobuf import NANOSECONDS
from engine.limits import SHARD_LEASE_SECONDS, SHARD_RENEW_SECONDS
from engine.persistence.protocols import ShardLease, Store

log = logging.getLogger(__name__)

LEASE_MARGIN_SECONDS = 1
SPREAD_SECONDS = 0.05
TAKEOVER_PARTS = 4


class _Seen(NamedTuple):
    """Who held a shard at the last look, and since when nothing of that has changed."""

    holding: ShardLease
    since: float


class Directory:
    """Takes, keeps and loses shards.

    `moved` is called with each shard whose owner changed, anywhere in the cell.
    """

    def __init__(self, name: str, env: Env, store: Store, shard_count: int) -> None:
        self.name = name
        self.shard_count = shard_count
        self.store_error: StoreError | None = None
        """Why the store cannot be written, while it cannot."""
        self._env = env
        self._store = store
        self._shards: dict[int, Shard] = {}
        self._owners: dict[int, str] = {}
        self._epochs: dict[int, int] = {}
        self._seen: dict[int, _Seen] = {}
        self._stamp_ns = 0
        self._taking: set[int] = set()
        self._recovering: dict[int, Shard] = {}
        self._parts: ShardParts | None = None
        self._moved: Callable[[int], None] = lambda shard_id: None
        self._gone: Callable[[int], None] = lambda shard_id: None

    def wire(
        self, parts: ShardParts, moved: Callable[[int], None], gone: Callable[[int], None]
    ) -> None:
        """What shards are made with; who hears that one moved, and that one of ours is gone."""
        self._parts, self._moved, self._gone = parts, moved, gone

    @property
    def shards(self) -> Iterable[Shard]:
        return self._shards.values()

    @property
    def offering(self) -> Iterable[Shard]:
        """All shards that may have offered tasks: those still being taken over, too."""
        return (*self._recovering.values(), *self._shards.values())

    @property
    def is_settled(self) -> bool:
        """Whether every shard of the cell has an owner that this node knows."""
        return len(self._owners) == self.shard_count

    def is_here(self, shard_id: int) -> bool:
        return shard_id in self._shards

    def owned(self, shard_id: int) -> Shard:
        """The shard, held here. Raises Unavailable."""
        shard = self._shards.get(shard_id)
        if shard is None:
            raise Unavailable(shard_id=shard_id)
        shard.check_owned()
        return shard

    def owner(self, shard_id: int) -> str:
        """The node that holds the shard, as far as known. Raises Unavailable."""
        owner = self._owners.get(shard_id)
        if owner is None or owner == self.name:
            raise Unavailable(shard_id=shard_id)
        return owner

    def nodes(self) -> set[str]:
        """The other nodes that hold shards."""
        return set(self._owners.values()) - {self.name}

    async def run(self) -> None:
        """Keep what is ours and take what is free, for ever."""
        while True:
            pause = float(SHARD_RENEW_SECONDS)
            try:
                if await self.tick():
                    pause = SPREAD_SECONDS
            except StoreError as error:
                self._failed(error)
            await self._env.sleep(pause)

    async def tick(self) -> bool:
        """Renew, look around, take over; whether there is more to take at once."""
        await self._renew()
        leases = await self._store.leases()
        self.store_error = None
        self._watch(leases)
        self._look(leases)
        for shard in list(self._shards.values()):
            await shard.wakeups.read_next_window()
        return await self._take(leases)

    def leave(self) -> None:
        """Hold nothing more, and take over nothing of what was begun."""
        self.lose(self.offering, None)

    def lose(self, shards: Iterable[Shard], error: StoreError | None) -> None:
        """These shards are not ours any more, or what the store has of them is unknown."""
        for shard in list(shards):
            if self._shards.get(shard.shard_id) is shard:
                del self._shards[shard.shard_id]
                self._owners.pop(shard.shard_id, None)
            if not shard.lost:
                shard.lose()
                self._count("shards_lost", "fenced" if error is None else "store")
                self._gone(shard.shard_id)
                log.debug("shard_lost", extra={"shard_id": shard.shard_id})
        if error is not None:
            self._failed(error)

    def _failed(self, error: StoreError) -> None:
        if self.store_error is None:
            full = isinstance(error, StoreFull)
            log.warning("store_failed", extra={"why": str(error), "full": full})
        self.store_error = error
        self._count("store_errors", type(error).__name__)

    def _count(self, name: str, value: str) -> None:
        if self._parts is not None:
            self._parts.measures.sums[name, value] += 1

    async def _renew(self) -> None:
        held = list(self._shards.values())
        if not held:
            return
        asked_at = self._env.monotonic()
        epochs = {shard.shard_id: shard.epoch for shard in held}
        kept = await self._store.renew(epochs, self._next_stamp_ns())
        for shard in held:
            if shard.shard_id in kept:
                shard.lease_until = asked_at + SHARD_LEASE_SECONDS - LEASE_MARGIN_SECONDS
        self.lose([shard for shard in held if shard.shard_id not in kept], None)

    def _watch(self, leases: list[ShardLease]) -> None:
        """Note which leases were renewed or taken since the last look."""
        for lease in leases:
            self._stamp_ns = max(self._stamp_ns, lease.expires_at_ns)
            holding = lease._replace(sequence=0)
            seen = self._seen.get(lease.shard_id)
            if seen is None or seen.holding != holding:
                self._seen[lease.shard_id] = _Seen(holding, self._env.monotonic())

    def _next_stamp_ns(self) -> int:
        """The end of a lease by this node's clock, or later than all that were seen.

        So a lease grows with each change, and who compares it learns of any.
        """
        end_ns = self._env.now_ns() + SHARD_LEASE_SECONDS * NANOSECONDS
        self._stamp_ns = max(self._stamp_ns + 1, end_ns)
        return self._stamp_ns

    def _is_free(self, lease: ShardLease) -> bool:
        """Whether nobody holds it."""
        stood_seconds = self._env.monotonic() - self._seen[lease.shard_id].since
        return not lease.owner or stood_seconds > SHARD_LEASE_SECONDS + LEASE_MARGIN_SECONDS

    def _look(self, leases: list[ShardLease]) -> None:
        for lease in leases:
            if lease.shard_id in self._shards or lease.owner == self.name:
                continue
            if self._is_free(lease):
                self._owners.pop(lease.shard_id, None)
                continue
            # An owner that restarted under its name has forgotten its queues: the epoch tells.
            known = (self._owners.get(lease.shard_id), self._epochs.get(lease.shard_id))
            if known != (lease.owner, lease.epoch):
                self._owners[lease.shard_id] = lease.owner
                self._epochs[lease.shard_id] = lease.epoch
                self._moved(lease.shard_id)

    async def _take(self, leases: list[ShardLease]) -> bool:
        """Take some of the free shards, up to a fair share of the nodes that live."""
        free = [
            lease
            for lease in leases
            if lease.shard_id not in self._shards
            and lease.shard_id not in self._taking
            and (self._is_free(lease) or lease.owner == self.name)
        ]
        living = {lease.owner for lease in leases if not self._is_free(lease)} | {self.name}
        fair = -(-self.shard_count // len(living)) - len(self._shards) - len(self._taking)
        part = max(1, self.shard_count // TAKEOVER_PARTS)
        free_count, free = len(free), free[: max(0, min(fair, part))]
        if not free:
            return False
        wanted = [lease.shard_id for lease in free]
        self._taking.update(wanted)
        try:
            asked_at = self._env.monotonic()
            # Of what others held, that alone which has not been renewed since it was seen.
            seen_ns = min(lease.expires_at_ns for lease in free)
            stamp_ns = self._next_stamp_ns()
            taken = await self._store.acquire(wanted, self.name, seen_ns, stamp_ns)
        finally:
            self._taking.difference_update(wanted)
        assert self._parts is not None
        for lease in taken:
            self._taking.add(lease.shard_id)
            shard = Shard(lease, self._parts)
            shard.lease_until = asked_at + SHARD_LEASE_SECONDS - LEASE_MARGIN_SECONDS
            self._recovering[lease.shard_id] = shard
            self._env.spawn("recover_shard", self._recover(shard))
        return free_count > len(taken)

    async def _recover(self, shard: Shard) -> None:
        assert self._parts is not None
        keeper = self._env.spawn("keep_lease", self._keep(shard))
        try:
            await shard.recover()
        except (StoreError, Unavailable) as error:
            if isinstance(error, StoreError) and not shard.lost:
                self._failed(error)
            shard.lose()
        finally:
            keeper.cancel()
            del self._recovering[shard.shard_id]
            self._taking.discard(shard.shard_id)
        if shard.lost:
            return
        self._shards[shard.shard_id] = shard
        self._owners[shard.shard_id] = self.name
        log.debug("shard_taken", extra={"shard_id": shard.shard_id, "epoch": shard.epoch})
        self._moved(shard.shard_id)
        # Recovery may have decided something already.
        self._parts.wake_committer()

    async def _keep(self, shard: Shard) -> None:
        """Hold the lease while a long recovery reads."""
        while True:
            await self._env.sleep(SHARD_RENEW_SECONDS)
            asked_at = self._env.monotonic()
            epochs = {shard.shard_id: shard.epoch}
            try:
                kept = await self._store.renew(epochs, self._next_stamp_ns())
            except StoreError:
                continue
            if shard.shard_id in kept:
                shard.lease_until = asked_at + SHARD_LEASE_SECONDS - LEASE_MARGIN_SECONDS
