"""What a deleted namespace held leaves the store, a page at a time, beside everything else.

Every node does this for the shards that it owns. The list of the namespace's runs is what is
still to be done, so nothing has to be remembered: a node that takes shards over looks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from engine.cell.directory import Directory
from engine.cell.forgetting import Forgetting
from engine.cell.namespaces import Namespaces
from engine.cell.shard import Shard
from engine.env import Env
from engine.errors import EngineError, StoreError, Unavailable
from engine.ids import shard_of
from engine.persistence.protocols import RunKey, Store
from engine.visibility.query import VisibilityQuery

log = logging.getLogger(__name__)

RUNS_PER_PAGE = 100
LOOK_AGAIN_SECONDS = 30.0
"""Longer than a call may take that was let in just before the namespace was deleted."""


class Purge:
    """`wake` it when a namespace was deleted or a shard was taken."""

    def __init__(
        self,
        env: Env,
        store: Store,
        directory: Directory,
        namespaces: Namespaces,
        forgetting: Forgetting,
    ) -> None:
        self._env = env
        self._store = store
        self._directory = directory
        self._namespaces = namespaces
        self._forgetting = forgetting
        self._wanted = asyncio.Event()
        self._found_empty: set[str] = set()
        self._done: set[str] = set()

    def wake(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        """Delete for ever what is to be deleted."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for namespace_id in sorted(self._namespaces.deleted_ids() - self._done):
                await self._look(namespace_id)
            if self._namespaces.deleted_ids() - self._done:
                await self._env.sleep(LOOK_AGAIN_SECONDS)
                self.wake()

    async def _look(self, namespace_id: str) -> None:
        try:
            found = await self._purge(namespace_id)
        except (StoreError, EngineError) as error:
            log.warning("purge_failed", extra={"namespace_id": namespace_id, "why": str(error)})
            return
        if found:
            self._found_empty.discard(namespace_id)
            # Whoever holds the shards of what is left may not have heard of the deletion.
            self._namespaces.announce()
        elif namespace_id in self._found_empty:
            self._done.add(namespace_id)
        else:
            self._found_empty.add(namespace_id)

    async def _purge(self, namespace_id: str) -> int:
        """Forget the runs of our shards; how many there were on all of them."""
        found, query = 0, VisibilityQuery(namespace_id, page_size=RUNS_PER_PAGE)
        while rows := await self._store.list_visibility(query):
            found += len(rows)
            query = replace(query, after=rows[-1].order)
            keys = (RunKey(namespace_id, row.workflow_id, row.run_id) for row in rows)
            # What cannot be forgotten now stays in the list, so the next look meets it again.
            await self._forgetting.forget(self._ours(keys))
        return found

    def _ours(self, keys: Iterable[RunKey]) -> Iterator[tuple[Shard, RunKey]]:
        """Those of our shards. What is left of the others stays in the list."""
        for key in keys:
            shard_id = shard_of(key.namespace_id, key.workflow_id, self._directory.shard_count)
            with suppress(Unavailable):
                yield self._directory.owned(shard_id), key
