"""The snapshot on its way to doors without a database: whole at first, then change by change."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, NamedTuple

from tenancy.errors import SnapshotRejected, SnapshotTooOld
from tenancy.key_text import KeyDigests
from tenancy.placement import CellPlace
from tenancy.randomness import Now, TokenBytes, new_uuid
from tenancy.snapshot import SNAPSHOT_AGE_SECONDS_MAX, Snapshot, SnapshotStorage, SnapshotView
from tenancy.snapshot_reader import SnapshotReader
from tenancy.snapshot_text import Signed, Told, change_heard, change_told, heard, told

logger = logging.getLogger(__name__)

CHANGES_KEPT = 1_000
"""A door that misses more of them is told the whole snapshot."""

BEAT_SECONDS = 1.0
"""So often a door is told that nothing changed, which keeps its snapshot young."""

ASK_AGAIN_SECONDS = 0.2


class Place(NamedTuple):
    """A version of the snapshot, and the feed that numbered it: changes fit onto their own only."""

    version: int
    feed_id: str


Ask = Callable[[Place | None], Awaitable[bytes]]
"""Asks the control plane for what came after a place; with None, for all."""


class SnapshotFeed:
    """The control plane's end. It tells what its reader has read."""

    def __init__(self, reader: SnapshotReader, *, pepper: bytes, token_bytes: TokenBytes) -> None:
        self._reader = reader
        self._token_bytes = token_bytes
        self._id = new_uuid(token_bytes)
        self._signed = Signed(pepper)
        self._changes: deque[Told] = deque(maxlen=CHANGES_KEPT)
        reader.on_changed(self._note)

    async def after(self, place: Place | None) -> bytes:
        """Signed news for a door that is there; waits a moment if there is none."""
        snapshot = self._reader.snapshot
        if place is not None and snapshot is not None:
            if place.version > snapshot.version:
                await self._overtake(place.version)
            if place.feed_id == self._id:
                await self._wait_beyond(place.version)
        snapshot = self._reader.snapshot
        if snapshot is None:
            raise SnapshotRejected("not read yet")
        news: Told = {
            "version": snapshot.version,
            "refreshed_at": snapshot.refreshed_at.isoformat(),
            "feed_id": self._id,
            # They change with a setting and have no numbers.
            "cells": [asdict(cell) for cell in snapshot.cells],
        }
        changes = self._since(place, snapshot.version)
        if changes is None:
            return self._signed.write({**news, "whole": told(snapshot)})
        return self._signed.write({**news, "changes": changes})

    def _note(self, before: Snapshot, after: Snapshot) -> None:
        if after.version > before.version:
            self._changes.append(change_told(before, after))
        else:
            # The database was restored: numbers mean other changes than before.
            self._changes.clear()
            self._id = new_uuid(self._token_bytes)

    async def _wait_beyond(self, version: int) -> None:
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                await self._reader.reached(version + 1)
        except TimeoutError:
            return  # The news is that there is none.

    def _since(self, place: Place | None, last: int) -> list[Told] | None:
        """The changes that lead from there to the last one; None if that is not known."""
        if place is None or place.feed_id != self._id:
            return None
        if place.version == last:
            return []
        changes = [it for it in self._changes if it["after"] >= place.version]
        is_whole = bool(changes) and changes[0]["after"] == place.version
        return changes if is_whole and changes[-1]["version"] == last else None

    async def _overtake(self, version: int) -> None:
        """A door knows more than the database does, if that was restored from a backup.

        Doors never go back, so the numbers must go on behind the highest that one has seen.
        """
        await self._reader.refresh()
        snapshot = self._reader.snapshot
        if snapshot is not None and version > snapshot.version:
            logger.warning("changes_renumbered", extra={"sequence": version})
            await self._reader.outrun(version)


class SnapshotFollower(SnapshotView):
    """The door's end: it has what it was told, and what it kept of that before it was started."""

    def __init__(
        self,
        *,
        ask: Ask,
        digests: KeyDigests,
        pepper: bytes,
        now: Now,
        storage: SnapshotStorage | None = None,
    ) -> None:
        super().__init__(digests=digests, now=now, storage=storage)
        self._ask = ask
        self._signed = Signed(pepper)
        self._feed_id = ""
        self.is_fed = False
        """Whether the control plane answered the last time it was asked."""

    @property
    def is_usable(self) -> bool:
        return self.staleness_seconds <= SNAPSHOT_AGE_SECONDS_MAX

    @property
    def problem(self) -> str:
        return super().problem or ("" if self.is_fed else "away")

    def current(self) -> Snapshot | None:
        """Raises SnapshotTooOld: what was revoked meanwhile must not go on for ever."""
        if self.snapshot is not None and not self.is_usable:
            raise SnapshotTooOld
        return self.snapshot

    async def start(self) -> None:
        """Begins with what was kept, if that is usable."""
        if self._storage is None:
            return
        try:
            self.snapshot = await asyncio.to_thread(self._storage.load)
        except (SnapshotRejected, OSError) as error:
            logger.info("snapshot_not_kept", extra={"why": str(error)})

    @property
    def place(self) -> Place | None:
        """Where it is in its feed."""
        if self.snapshot is None:
            return None
        return Place(self.snapshot.version, self._feed_id)

    async def follow(self) -> None:
        """Asks again and again, for ever. While nobody answers, staleness grows."""
        while True:
            try:
                await self.hear(await self._ask(self.place))
                self.is_fed = True
            except Exception as error:
                if self.is_fed:
                    extra = {"error": type(error).__name__, "why": str(error)}
                    logger.warning("snapshot_not_fed", extra=extra)
                # What was refused is not asked for again; the whole snapshot is.
                self.is_fed, self._feed_id = False, ""
                await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def hear(self, text: bytes) -> None:
        """Take over signed news. Raises SnapshotRejected for what is foreign, old or has gaps."""
        news = self._signed.read(text)
        before = self.snapshot
        if before is not None and news["version"] < before.version:
            raise SnapshotRejected(f"of version {news['version']}, older than {before.version}")
        after = _follows(before, news)
        if after.version != news["version"]:
            raise SnapshotRejected("incomplete")
        cells = tuple(CellPlace(**told) for told in news["cells"])
        if cells != after.cells:
            after = replace(after, cells=cells)
        refreshed_at = datetime.fromisoformat(news["refreshed_at"])
        after.refreshed_at = max(refreshed_at, after.refreshed_at)
        self._feed_id = news["feed_id"]
        self._replace(after)
        await self._save(after, self._now(), is_changed=after is not before)


def _follows(before: Snapshot | None, news: Mapping[str, Any]) -> Snapshot:
    if "whole" in news:
        return heard(news["whole"])
    if before is None:
        raise SnapshotRejected("a change of what is not known")
    for change in news["changes"]:
        before = change_heard(before, change)
    return before
