"""The audit log: one append-only chain per account, written with the change it tells of."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import Account, locked_account
from tenancy.database import Model, Text, stored_enum
from tenancy.errors import ChainBroken, NotFound
from tenancy.randomness import Now, derived_key
from tenancy.roles import Principal, PrincipalKind

ACTION_CHARACTERS_MAX = 100
ACTOR_ID_CHARACTERS_MAX = 100
TARGET_ID_CHARACTERS_MAX = 1_000
RECORDS_PER_READ = 1_000


class AuditResult(StrEnum):
    ACCEPTED = "accepted"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did, or was refused. `at` is given where it is recorded later than it was."""

    actor: Principal
    action: str
    target_ids: tuple[str, ...]
    result: AuditResult = AuditResult.ACCEPTED
    at: datetime | None = None


class AuditRecord(Model):
    """Who did what to which record, when, and what came of it. No secrets, no e-mails."""

    __tablename__ = "audit_record"
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor_kind: Mapped[PrincipalKind] = mapped_column(stored_enum(PrincipalKind))
    actor_id: Mapped[str] = mapped_column(Text(ACTOR_ID_CHARACTERS_MAX))
    action: Mapped[str] = mapped_column(Text(ACTION_CHARACTERS_MAX))
    target_ids: Mapped[list[str]] = mapped_column(sa.JSON)
    result: Mapped[AuditResult] = mapped_column(stored_enum(AuditResult))
    hash: Mapped[bytes] = mapped_column(sa.LargeBinary(32))


class AuditLog:
    """Chains records with a key, so that whoever can write the table still cannot forge one."""

    def __init__(self, *, now: Now, pepper: bytes) -> None:
        self._now = now
        self._key = derived_key(pepper, "audit")

    async def record(
        self,
        session: AsyncSession,
        actor: Principal,
        action: str,
        *target_ids: str,
        result: AuditResult = AuditResult.ACCEPTED,
    ) -> None:
        """Appends to the chain of the actor's account, in the caller's transaction."""
        await self.record_all(session, [Act(actor, action, target_ids, result)])

    async def record_all(self, session: AsyncSession, acts: Iterable[Act]) -> None:
        """Appends acts to the chains of their actors' accounts, in the caller's transaction."""
        by_account: dict[str, list[Act]] = {}
        for act in acts:
            by_account.setdefault(act.actor.account_id, []).append(act)
        # Always in the same order, so that no two transactions wait for each other.
        for account_id in sorted(by_account):
            account = await locked_account(session, account_id)
            session.add_all([self._append(account, act) for act in by_account[account_id]])
        await session.flush()

    def _append(self, account: Account, act: Act) -> AuditRecord:
        record = AuditRecord(
            account_id=account.id,
            sequence=account.audit_sequence + 1,
            at=act.at or self._now(),
            actor_kind=act.actor.kind,
            actor_id=act.actor.id,
            action=act.action[:ACTION_CHARACTERS_MAX],
            target_ids=[target_id[:TARGET_ID_CHARACTERS_MAX] for target_id in act.target_ids],
            result=act.result,
        )
        record.hash = self._chained(account.audit_hash, record)
        account.audit_sequence, account.audit_hash = record.sequence, record.hash
        return record

    async def verify_chain(self, session: AsyncSession, account_id: str) -> int:
        """The number of records, all of them as written; otherwise raises ChainBroken."""
        account = await session.get(Account, account_id)
        if account is None:
            raise NotFound("account", account_id)
        sequence, previous = 0, bytes(32)
        while records := await self._after(session, account_id, sequence):
            for record in records:
                sequence += 1
                previous = self._chained(previous, record)
                is_next = record.sequence == sequence
                if not is_next or not hmac.compare_digest(previous, record.hash):
                    raise ChainBroken(account_id, sequence)
        if (sequence, previous) != (account.audit_sequence, account.audit_hash):
            raise ChainBroken(account_id, sequence + 1)
        return sequence

    async def _after(
        self, session: AsyncSession, account_id: str, sequence: int
    ) -> list[AuditRecord]:
        found = await session.scalars(
            sa.select(AuditRecord)
            .where(AuditRecord.account_id == account_id, AuditRecord.sequence > sequence)
            .order_by(AuditRecord.sequence)
            .limit(RECORDS_PER_READ)
        )
        return list(found)

    def _chained(self, previous: bytes, record: AuditRecord) -> bytes:
        told = [
            record.account_id,
            record.sequence,
            record.at.astimezone(UTC).isoformat(),
            record.actor_kind,
            record.actor_id,
            record.action,
            record.target_ids,
            record.result,
        ]
        return hmac.digest(self._key, previous + json.dumps(told).encode(), "sha256")
