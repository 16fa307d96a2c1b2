"""Two stores are read as the engine reads them, and must answer alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from engine.errors import StoreDiffers
from engine.persistence.protocols import RunKey, Store, StoredRun
from engine.visibility.query import VisibilityQuery

BYTES_PER_READ = 4 * 1024 * 1024
ROWS_PER_READ = 1_000
EVENT_ID_MAX = 2**62

RunHashes = dict[str, bytes]
"""SHA-256 of each part of a run, in the order of its keys."""


class Comparison:
    """Raises StoreDiffers for the first difference. `digest` adds up all runs that were equal."""

    def __init__(self, source: Store, copy: Store) -> None:
        self._source = source
        self._copy = copy
        self.digest = hashlib.sha256()

    async def runs(self, keys: Sequence[RunKey]) -> None:
        """All that is kept of these runs but their place in lists."""
        originals = await _hashes(self._source, keys)
        copies = await _hashes(self._copy, keys)
        for key, original, copied in zip(keys, originals, copies, strict=True):
            for part, digest in original.items():
                if copied.get(part) != digest:
                    raise StoreDiffers(f"the {part} of {_named(key)}")
                self.digest.update(digest)

    async def shards(self) -> None:
        """Who owns them, with which epochs, what is active in them; and the metering facts."""
        leases = await self._source.leases()
        _check(leases, await self._copy.leases(), "the leases")
        for lease in leases:
            _check(
                await self._source.active_runs(lease.shard_id),
                await self._copy.active_runs(lease.shard_id),
                f"the active runs of shard {lease.shard_id}",
            )
        position, rows = -1, True
        while rows:
            facts = await self._source.read_facts(position, ROWS_PER_READ)
            copied = await self._copy.read_facts(position, ROWS_PER_READ)
            _check(facts, copied, f"the facts behind position {position}")
            rows = bool(facts)
            position = facts[-1].position if facts else position

    async def namespaces(self, namespace_ids: Iterable[str]) -> None:
        """Their settings, lists and summaries."""
        originals = await self._source.namespaces()
        _check(originals, await self._copy.namespaces(), "the namespaces")
        for namespace_id in namespace_ids:
            await self._lists(namespace_id)
            await self._summaries(namespace_id)

    async def _lists(self, namespace_id: str) -> None:
        query = VisibilityQuery(namespace_id, page_size=ROWS_PER_READ)
        while rows := await self._source.list_visibility(query):
            copied = await self._copy.list_visibility(query)
            _check(rows, copied, f"the lists of namespace {namespace_id}")
            query = replace(query, after=rows[-1].order)

    async def _summaries(self, namespace_id: str) -> None:
        after = ""
        while rows := await self._source.read_summaries(namespace_id, after, ROWS_PER_READ):
            copied = await self._copy.read_summaries(namespace_id, after, ROWS_PER_READ)
            _check(rows, copied, f"the summaries of namespace {namespace_id}")
            after = rows[-1][0].run_id


async def _hashes(store: Store, keys: Sequence[RunKey]) -> list[RunHashes]:
    runs = await store.load(keys)
    currents = await store.load([key._replace(run_id="") for key in keys])
    return [
        {} if run is None else await _hashes_of(store, run, current)
        for run, current in zip(runs, currents, strict=True)
    ]


async def _hashes_of(store: Store, run: StoredRun, current: StoredRun | None) -> RunHashes:
    noted = (run.wakeup_at_ns, current and current.key.run_id)
    items = (
        part
        for kind, name in sorted(run.items)
        for part in (str(int(kind)).encode(), name.encode(), run.items[kind, name])
    )
    return {
        "header": _sha256([repr(noted).encode(), run.header]),
        "pending items": _sha256(items),
        "history": await _history_hash(store, run.key),
    }


async def _history_hash(store: Store, key: RunKey) -> bytes:
    digest = hashlib.sha256()
    first = 1
    while batches := await store.read_history(key, first, EVENT_ID_MAX, BYTES_PER_READ):
        for batch in batches:
            ids = f"{batch.first_event_id} {batch.last_event_id}"
            digest.update(_sha256([ids.encode(), batch.blob]))
        first = batches[-1].last_event_id + 1
    return digest.digest()


def _sha256(parts: Iterable[bytes]) -> bytes:
    """With their lengths before them no two lists of parts are the same bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _check(original: Any, copied: Any, what: str) -> None:
    if original != copied:
        raise StoreDiffers(what)


def _named(key: RunKey) -> str:
    return f"run {key.run_id} of {key.workflow_id!r} in namespace {key.namespace_id}"
