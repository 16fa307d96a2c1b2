"""Acts that doors noted while the control plane was away, on their way into the audit log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import Account
from tenancy.audit import Act, AuditLog
from tenancy.database import Model, Text, forget
from tenancy.dialects import insert
from tenancy.randomness import Now

logger = logging.getLogger(__name__)

JOURNAL_DAYS_KEPT = 90
"""A journal that nobody has heard of for so long is gone with its door."""


class JournaledAct(NamedTuple):
    """`sequence` is the act's place in its journal, counted from 1."""

    sequence: int
    act: Act


class ActJournal(Model):
    """A door's journal, and up to which of its acts they are in the audit log."""

    __tablename__ = "act_journal"
    id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    sequence: Mapped[int] = mapped_column(sa.BigInteger)
    heard_at: Mapped[datetime]


class ActJournals:
    """Takes each act of a journal over exactly once, however often it is delivered."""

    def __init__(self, *, audit: AuditLog, now: Now) -> None:
        self._audit = audit
        self._now = now

    async def take_over(
        self, session: AsyncSession, journal_id: str, acts: Sequence[JournaledAct]
    ) -> int:
        """The place up to which the journal's acts are recorded with this commit."""
        now = self._now()
        await session.execute(
            insert(session, ActJournal)
            .values(id=journal_id, sequence=0, heard_at=now)
            .on_conflict_do_nothing(index_elements=["id"])
        )
        asked = sa.select(ActJournal).where(ActJournal.id == journal_id).with_for_update()
        journal = (await session.scalars(asked.execution_options(populate_existing=True))).one()
        new = [it for it in acts if it.sequence > journal.sequence]
        journal.heard_at = now
        if new:
            journal.sequence = new[-1].sequence
            await self._audit.record_all(session, await _recordable(session, new))
        return journal.sequence

    async def forget_old(self, session: AsyncSession) -> None:
        kept_since = self._now() - timedelta(days=JOURNAL_DAYS_KEPT)
        await forget(session, ActJournal.id, ActJournal.heard_at < kept_since)


async def _recordable(session: AsyncSession, acts: Sequence[JournaledAct]) -> list[Act]:
    """Without those of accounts that are gone: nobody has their log any more."""
    account_ids = {it.act.actor.account_id for it in acts}
    asked = sa.select(Account.id).where(Account.id.in_(account_ids))
    known = set(await session.scalars(asked))
    if known != account_ids:
        logger.warning("acts_without_account", extra={"status": len(account_ids - known)})
    return [it.act for it in acts if it.act.actor.account_id in known]
