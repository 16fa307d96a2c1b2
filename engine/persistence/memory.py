"""The specification of a store, in dictionaries: what it keeps is what was committed.

A node that crashes in the simulator loses nothing here; several nodes may share one store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.errors import StoreMismatch, StoreRejected
from engine.persistence.protocols import (
    FactRow,
    HistoryBatch,
    ItemKind,
    NamespaceRow,
    RunKey,
    RunWrite,
    ShardLease,
    ShardWrite,
    StoredRun,
    Wakeup,
)
from engine.visibility.predicate import matches
from engine.visibility.query import VisibilityQuery, VisibilityRow


@dataclass(slots=True)
class _Run:
    shard_id: int
    header: bytes = b""
    active: bool = False
    wakeup_at_ns: int | None = None
    history: dict[int, HistoryBatch] = field(default_factory=dict)
    items: dict[tuple[ItemKind, str], bytes] = field(default_factory=dict)


class MemoryStore:
    """A `Store` that never waits. Every answer is in a fixed order and shares nothing mutable."""

    def __init__(self) -> None:
        self._leases: dict[int, ShardLease] = {}
        self._runs: dict[RunKey, _Run] = {}
        self._current: dict[tuple[str, str], str] = {}
        self._visibility: dict[tuple[str, str], VisibilityRow] = {}
        self._summaries: dict[RunKey, bytes] = {}
        self._facts: list[FactRow] = []
        self._position = 0
        self._namespaces: dict[str, NamespaceRow] = {}

    async def open(self, shard_count: int) -> None:
        if self._leases and len(self._leases) != shard_count:
            raise StoreMismatch(f"the store has {len(self._leases)} shards, not {shard_count}")
        for shard_id in range(shard_count):
            self._leases.setdefault(shard_id, ShardLease(shard_id, "", 0, 0, 0))

    async def close(self) -> None:
        """Nothing to release: another node may still use the store."""

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        fenced = {write.shard_id for write in writes if not self._stands(write)}
        standing = [write for write in writes if write.shard_id not in fenced]
        self._check(standing)
        for write in standing:
            lease = self._leases[write.shard_id]
            self._leases[write.shard_id] = lease._replace(sequence=write.sequence)
            for run in write.runs:
                self._apply(write.shard_id, run)
            if write.facts is not None:
                self._position += 1
                self._facts.append(
                    FactRow(self._position, write.shard_id, write.sequence, write.facts)
                )
        return frozenset(fenced)

    async def acquire(
        self, shard_ids: Sequence[int], owner: str, now_ns: int, expires_at_ns: int
    ) -> list[ShardLease]:
        taken = []
        for shard_id in dict.fromkeys(shard_ids):
            lease = self._leases.get(shard_id)
            if lease and (lease.owner in ("", owner) or lease.expires_at_ns <= now_ns):
                lease = lease._replace(
                    owner=owner, epoch=lease.epoch + 1, expires_at_ns=expires_at_ns
                )
                self._leases[shard_id] = lease
                taken.append(lease)
        return taken

    async def renew(self, epochs: Mapping[int, int], expires_at_ns: int) -> frozenset[int]:
        standing = frozenset(
            shard_id
            for shard_id, epoch in epochs.items()
            if shard_id in self._leases and self._leases[shard_id].epoch == epoch
        )
        for shard_id in standing:
            lease = self._leases[shard_id]
            self._leases[shard_id] = lease._replace(expires_at_ns=expires_at_ns)
        return standing

    async def leases(self) -> list[ShardLease]:
        return sorted(self._leases.values())

    async def load(self, keys: Sequence[RunKey]) -> list[StoredRun | None]:
        found: list[StoredRun | None] = []
        for key in map(self._named, keys):
            run = self._runs.get(key)
            found.append(
                StoredRun(key, run.header, dict(run.items), run.wakeup_at_ns) if run else None
            )
        return found

    async def read_history(
        self, key: RunKey, first_event_id: int, last_event_id: int, bytes_max: int
    ) -> list[HistoryBatch]:
        run = self._runs.get(self._named(key))
        batches: list[HistoryBatch] = []
        size_bytes = 0
        for batch in sorted(run.history.values()) if run else ():
            if batch.last_event_id < first_event_id or batch.first_event_id > last_event_id:
                continue
            size_bytes += len(batch.blob)
            if batches and size_bytes > bytes_max:
                break
            batches.append(batch)
        return batches

    async def active_runs(self, shard_id: int) -> list[RunKey]:
        return sorted(
            key for key, run in self._runs.items() if run.shard_id == shard_id and run.active
        )

    async def wakeups(
        self, shard_id: int, after: Wakeup, until_ns: int, limit: int
    ) -> list[Wakeup]:
        due = sorted(
            (run.wakeup_at_ns, key)
            for key, run in self._runs.items()
            if run.shard_id == shard_id
            and run.wakeup_at_ns is not None
            and run.wakeup_at_ns <= until_ns
        )
        return [wakeup for wakeup in due if wakeup > after][:limit]

    async def workflow_ids(self, shard_id: int) -> list[tuple[str, str]]:
        return sorted({key[:2] for key, run in self._runs.items() if run.shard_id == shard_id})

    async def list_visibility(self, query: VisibilityQuery) -> list[VisibilityRow]:
        rows = [row for row in self._matching(query) if not query.after or row.order < query.after]
        rows.sort(key=lambda row: row.order, reverse=True)
        return [_copied(row) for row in rows[: query.page_size]]

    async def count_visibility(self, query: VisibilityQuery) -> list[tuple[str, int]]:
        rows = self._matching(query)
        if query.group_by is None:
            return [("", len(rows))]
        return sorted(Counter(str(getattr(row, query.group_by)) for row in rows).items())

    async def read_facts(self, after_position: int, limit: int) -> list[FactRow]:
        return [row for row in self._facts if row.position > after_position][:limit]

    async def delete_facts(self, up_to_position: int) -> None:
        self._facts = [row for row in self._facts if row.position > up_to_position]

    async def read_summaries(
        self, namespace_id: str, after_run_id: str, limit: int
    ) -> list[tuple[RunKey, bytes]]:
        behind = [
            (key, summary)
            for key, summary in self._summaries.items()
            if key.namespace_id == namespace_id and key.run_id > after_run_id
        ]
        return sorted(behind, key=lambda pair: pair[0].run_id)[:limit]

    async def put_namespace(self, row: NamespaceRow) -> None:
        self._namespaces[row.namespace_id] = row

    async def namespaces(self) -> list[NamespaceRow]:
        return sorted(self._namespaces.values())

    def _stands(self, write: ShardWrite) -> bool:
        lease = self._leases.get(write.shard_id)
        return lease is not None and lease.epoch == write.epoch

    def _check(self, writes: Sequence[ShardWrite]) -> None:
        """Refuse the transaction before anything of it is applied."""
        for run in (run for write in writes for run in write.runs if not run.deleted):
            stored = self._runs.get(run.key)
            first_ids = [batch.first_event_id for batch in run.history]
            held = stored.history.keys() if stored else set()
            if len(set(first_ids)) < len(first_ids) or not held.isdisjoint(first_ids):
                raise StoreRejected(f"run {run.key.run_id} has a history batch at {first_ids}")

    def _apply(self, shard_id: int, write: RunWrite) -> None:
        key = write.key
        workflow = (key.namespace_id, key.workflow_id)
        if write.summary is not None:
            self._summaries[key] = write.summary
        if write.deleted:
            self._runs.pop(key, None)
            self._visibility.pop((key.namespace_id, key.run_id), None)
            if self._current.get(workflow) == key.run_id:
                del self._current[workflow]
            return
        run = self._runs.setdefault(key, _Run(shard_id))
        run.header, run.active = write.header, write.active
        if write.wakeup_at_ns != write.wakeup_was_ns:
            run.wakeup_at_ns = write.wakeup_at_ns
        run.history.update((batch.first_event_id, batch) for batch in write.history)
        for item, blob in write.items.items():
            if blob is None:
                run.items.pop(item, None)
            else:
                run.items[item] = blob
        if write.becomes_current:
            self._current[workflow] = key.run_id
        if write.visibility is not None:
            self._visibility[key.namespace_id, key.run_id] = _copied(write.visibility)

    def _named(self, key: RunKey) -> RunKey:
        if key.run_id:
            return key
        return key._replace(run_id=self._current.get((key.namespace_id, key.workflow_id), ""))

    def _matching(self, query: VisibilityQuery) -> list[VisibilityRow]:
        return [
            row
            for row in self._visibility.values()
            if row.namespace_id == query.namespace_id and matches(row, query.where)
        ]


def _copied(row: VisibilityRow) -> VisibilityRow:
    attributes = {
        name: list(value) if isinstance(value, list) else value
        for name, value in row.attributes.items()
    }
    return replace(row, attributes=attributes)
