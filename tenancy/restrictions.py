"""Who may start no new workflow, and why. What runs goes on: signals, retries, children, cron.

A restriction is of an account or of one namespace, by its cause; the door reads it from the
snapshot, and the cell refuses only what would really start.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import locked_account
from tenancy.audit import AuditLog
from tenancy.changes import ChangeKind, record_change
from tenancy.database import Model, Text, stored_enum
from tenancy.errors import NotFound
from tenancy.namespaces import Namespace
from tenancy.roles import system_principal

WHY_CHARACTERS_MAX = 500


class RestrictionCause(StrEnum):
    BUDGET = "budget"
    PAYMENT = "payment"


@dataclass(frozen=True, slots=True)
class Restriction:
    """`target_id` is the account or the namespace; `why` tells people what to do about it."""

    account_id: str
    target_id: str
    cause: RestrictionCause
    why: str

    @property
    def key(self) -> str:
        return restriction_key(self.target_id, self.cause)


def restriction_key(target_id: str, cause: RestrictionCause) -> str:
    """Where the snapshot has it."""
    return f"{target_id}/{cause}"


class RestrictedStart(Model):
    """Its `target_id` is the account's id or the namespace's: no two of them are alike."""

    __tablename__ = "restricted_start"
    target_id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    cause: Mapped[RestrictionCause] = mapped_column(stored_enum(RestrictionCause), primary_key=True)
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), index=True)
    why: Mapped[str] = mapped_column(Text(WHY_CHARACTERS_MAX))
    restricted_at: Mapped[datetime]

    @property
    def told(self) -> Restriction:
        return Restriction(self.account_id, self.target_id, self.cause, self.why)


class Restrictions:
    """Set and lifted in the caller's unit of work; the door knows of it a moment later."""

    def __init__(self, *, audit: AuditLog) -> None:
        self._audit = audit

    async def restrict_starts(
        self,
        session: AsyncSession,
        *,
        account_id: str,
        namespace_id: str | None,
        cause: RestrictionCause,
        at: datetime,
        why: str,
    ) -> None:
        """Of the account, or of one namespace; again with the same `why`, it changes nothing.

        `why` names what stops starts and the remedy. Raises NotFound for a foreign namespace.
        """
        await locked_account(session, account_id)
        if namespace_id is not None:
            namespace = await session.get(Namespace, namespace_id)
            if namespace is None or namespace.account_id != account_id:
                raise NotFound("namespace", namespace_id)
        target_id = namespace_id or account_id
        known = await session.get(RestrictedStart, (target_id, cause))
        if known is None:
            known = RestrictedStart(
                target_id=target_id, cause=cause, account_id=account_id, why="", restricted_at=at
            )
            session.add(known)
        if known.why == why:
            return
        known.why = why
        await self._changed(session, known, "starts.restrict")

    async def lift_restriction(
        self,
        session: AsyncSession,
        *,
        account_id: str,
        namespace_id: str | None,
        cause: RestrictionCause,
    ) -> None:
        """Where there is none, it changes nothing."""
        await locked_account(session, account_id)
        known = await session.get(RestrictedStart, (namespace_id or account_id, cause))
        if known is None or known.account_id != account_id:
            return
        await session.delete(known)
        await self._changed(session, known, "starts.lift")

    async def _changed(self, session: AsyncSession, row: RestrictedStart, action: str) -> None:
        await session.flush()
        await record_change(session, ChangeKind.RESTRICTION, row.account_id)
        actor = system_principal(row.account_id, row.cause)
        await self._audit.record(session, actor, action, row.target_id)


async def restrictions_of(
    session: AsyncSession, account_ids: Collection[str] | None = None
) -> list[Restriction]:
    """Those of these accounts; of all, if none are named."""
    asked = sa.select(RestrictedStart).order_by(RestrictedStart.target_id, RestrictedStart.cause)
    if account_ids is not None:
        asked = asked.where(RestrictedStart.account_id.in_(account_ids))
    return [row.told for row in await session.scalars(asked)]
