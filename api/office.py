"""What the control plane does for frontends, apart from the requests that they pass on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime

from api.act_journal import Kept, read_acts
from tenancy import ControlPlane, Database, SnapshotFeed
from tenancy.snapshot_feed import Place


class ControlOffice:
    """`pepper` is the installation's: news are signed under it."""

    def __init__(self, control: ControlPlane, database: Database, *, pepper: bytes) -> None:
        self._control = control
        self._database = database
        self._feed = SnapshotFeed(control.snapshot, pepper=pepper, token_bytes=os.urandom)

    @property
    def version(self) -> int:
        """Of the snapshot, as it is now."""
        snapshot = self._control.snapshot.snapshot
        return 0 if snapshot is None else snapshot.version

    async def news(self, after: Place | None) -> bytes:
        """What became of keys, namespaces and certificates since a place of the feed."""
        return await self._feed.after(after)

    async def take_acts(self, journal_id: str, acts: Sequence[Kept]) -> int:
        """Up to which number the journal's acts are in the audit log."""
        async with self._database.transaction() as session:
            reached = await self._control.act_journals.take_over(
                session, journal_id, read_acts(acts)
            )
            await self._control.act_journals.forget_old(session)
            return reached

    async def note_key_use(self, used_at: Mapping[str, datetime]) -> None:
        for key_id, at in used_at.items():
            self._control.key_use.note_used(key_id, at)
