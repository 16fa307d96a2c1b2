"""The system cell's store: what its one node knows already costs no statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.persistence.protocols import (
    FIRST_WAKEUP,
    NamespaceRow,
    RunKey,
    ShardLease,
    ShardWrite,
    Store,
    Wakeup,
)

FOREVER_NS = 2**63 - 1


class LoneStore:
    """A store for a cell of one node, which nobody else may open meanwhile.

    Leases, wake-ups and namespaces are answered from memory, which is forgotten with every failed
    or fenced write: so a cell in which nothing happens is as good as not there. The fence in the
    commit stands as in any store. Metering facts are not kept: nobody is billed for them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._leases: list[ShardLease] | None = None
        self._namespaces: list[NamespaceRow] | None = None
        self._wakeups: dict[int, dict[RunKey, int]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        try:
            fenced = await self._store.commit([replace(write, facts=None) for write in writes])
        except Exception:
            self._forget()
            raise
        if fenced:
            self._forget()
        for write in writes:
            self._note_wakeups(write)
        return fenced

    async def acquire(
        self, shard_ids: Sequence[int], owner: str, now_ns: int, expires_at_ns: int
    ) -> list[ShardLease]:
        self._forget()
        return await self._store.acquire(shard_ids, owner, now_ns, expires_at_ns)

    async def renew(self, epochs: Mapping[int, int], expires_at_ns: int) -> frozenset[int]:
        if self._leases is None:
            return await self._store.renew(epochs, expires_at_ns)
        held = {lease.shard_id: lease.epoch for lease in self._leases}
        return frozenset(
            shard_id for shard_id, epoch in epochs.items() if held.get(shard_id) == epoch
        )

    async def leases(self) -> list[ShardLease]:
        if self._leases is None:
            self._leases = await self._store.leases()
        return self._leases

    async def wakeups(
        self, shard_id: int, after: Wakeup, until_ns: int, limit: int
    ) -> list[Wakeup]:
        """All are read when the shard is taken, before anything of it is written."""
        if shard_id not in self._wakeups:
            known, last = dict[RunKey, int](), FIRST_WAKEUP
            while page := await self._store.wakeups(shard_id, last, FOREVER_NS, limit):
                known.update((key, at_ns) for at_ns, key in page)
                last = page[-1]
            self._wakeups[shard_id] = known
        due = sorted((at_ns, key) for key, at_ns in self._wakeups[shard_id].items())
        return [wakeup for wakeup in due if wakeup > after and wakeup[0] <= until_ns][:limit]

    async def put_namespace(self, row: NamespaceRow) -> None:
        self._namespaces = None
        await self._store.put_namespace(row)

    async def namespaces(self) -> list[NamespaceRow]:
        if self._namespaces is None:
            self._namespaces = await self._store.namespaces()
        return self._namespaces

    def _note_wakeups(self, write: ShardWrite) -> None:
        known = self._wakeups.get(write.shard_id)
        if known is None:
            return
        for run in write.runs:
            if run.deleted or run.wakeup_at_ns is None:
                known.pop(run.key, None)
            else:
                known[run.key] = run.wakeup_at_ns

    def _forget(self) -> None:
        self._leases = self._namespaces = None
        self._wakeups.clear()
