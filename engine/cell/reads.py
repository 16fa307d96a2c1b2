"""Reads of runs that are under way, and which of them no longer say how things are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.persistence.protocols import RunKey, StoredRun

Load = Callable[[RunKey], "asyncio.Future[StoredRun | None]"]


class _Reader:
    """One who waits; `is_outdated` once what is read may be older than what was written."""

    __slots__ = ("is_outdated",)

    def __init__(self) -> None:
        self.is_outdated = False


class Reads:
    """Asks the store once for all who ask for the same meanwhile."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._pending: dict[RunKey, asyncio.Future[StoredRun | None]] = {}
        self._readers: dict[tuple[str, str], list[_Reader]] = {}

    async def read(self, key: RunKey) -> StoredRun | None:
        """The rows as they are when this returns, as long as the run is not in memory."""
        reader = _Reader()
        readers = self._readers.setdefault(key[:2], [])
        readers.append(reader)
        try:
            while True:
                stored = await asyncio.shield(self._asked(key))
                if not reader.is_outdated:
                    return stored
                reader.is_outdated = False
        finally:
            readers.remove(reader)
            if not readers:
                del self._readers[key[:2]]

    def left_memory(self, key: RunKey) -> None:
        """The run was in memory, and may have been changed there behind a read's back."""
        for reader in self._readers.get(key[:2], ()):
            reader.is_outdated = True
        for asked in (key, RunKey(key.namespace_id, key.workflow_id, "")):
            self._pending.pop(asked, None)

    def _asked(self, key: RunKey) -> asyncio.Future[StoredRun | None]:
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = self._load(key)
            pending.add_done_callback(lambda done: self._answered(key, done))
        return pending

    def _answered(self, key: RunKey, done: asyncio.Future[StoredRun | None]) -> None:
        if self._pending.get(key) is done:
            del self._pending[key]
