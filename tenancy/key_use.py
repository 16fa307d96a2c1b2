"""When API keys were last used."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from tenancy.api_keys import ApiKey
from tenancy.database import Database

KEY_USE_COARSENESS_SECONDS = 60


class KeyUse:
    """When keys were last used, kept in memory by the hot path and written by `flush`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._used_at: dict[str, datetime] = {}

    def note_used(self, key_id: str, at: datetime) -> None:
        self._used_at[key_id] = at

    async def flush(self) -> None:
        """Writes what is at least a minute newer than the record; call it about once a minute."""
        used_at, self._used_at = self._used_at, {}
        coarseness = timedelta(seconds=KEY_USE_COARSENESS_SECONDS)
        if not used_at:
            return
        try:
            async with self._database.transaction() as session:
                # In one order, so that no two processes wait for each other.
                for key_id, at in sorted(used_at.items()):
                    is_due = sa.or_(
                        ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= at - coarseness
                    )
                    await session.execute(
                        sa.update(ApiKey).where(ApiKey.id == key_id, is_due).values(last_used_at=at)
                    )
        except BaseException:
            self._used_at = used_at | self._used_at
            raise
