"""When the CAs of namespaces expire, and how far their people were told of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.certificates import (
    SUBJECT_CHARACTERS_MAX,
    CertificateTrust,
    fingerprint,
    shown_subject,
)
from tenancy.database import Model, Text

TOLD_DAYS = (30, 15, 7, 1, 0)
"""How long before a CA expires its people are told, and at last that it has."""


class ExpiringAuthority(Model):
    """A CA of a namespace's bundle. `told_days` is which of TOLD_DAYS was told last, `due_at` when
    the next one is; nothing is due while certificates are not accepted.

    What is to be told stands here, so that whoever looks for it reads no bundle.
    """

    __tablename__ = "expiring_authority"
    namespace_id: Mapped[str] = mapped_column(sa.ForeignKey("namespace.id"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text(64), primary_key=True)
    subject: Mapped[str] = mapped_column(Text(SUBJECT_CHARACTERS_MAX))
    expires_at: Mapped[datetime]
    told_days: Mapped[int | None]
    due_at: Mapped[datetime | None] = mapped_column(index=True)

    def wait(self) -> None:
        """For what is to be told next, if anything is left."""
        left = [days for days in TOLD_DAYS if self.told_days is None or days < self.told_days]
        self.due_at = self.expires_at - timedelta(days=left[0]) if left else None

    def note_told(self, at: datetime) -> None:
        """What was missed while nothing ran is not told later."""
        self.told_days = min(
            days for days in TOLD_DAYS if self.expires_at - timedelta(days=days) <= at
        )
        self.wait()


async def watch_authorities(
    session: AsyncSession, namespace_id: str, trust: CertificateTrust
) -> None:
    """Has people told of what this namespace trusts now. The account is locked.

    What was told of a CA that stays is not told again.
    """
    found = await session.scalars(
        sa.select(ExpiringAuthority).where(ExpiringAuthority.namespace_id == namespace_id)
    )
    known = {row.fingerprint: row for row in found}
    trusted = {fingerprint(each): each for each in trust.certificates}
    for gone in known.keys() - trusted.keys():
        await session.delete(known[gone])
    for id, authority in trusted.items():
        row = known.get(id)
        if row is None:
            row = ExpiringAuthority(
                namespace_id=namespace_id,
                fingerprint=id,
                subject=shown_subject(authority),
                expires_at=authority.not_valid_after_utc,
            )
            session.add(row)
        row.wait()
        if not trust.is_enabled:
            row.due_at = None
