"""The feed that tells a frontend what to read again: the latest change of each record.

A change of a record replaces its earlier one, so the feed never outgrows the records.
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import CHANGED, Model, Text, stored_enum


class ChangeKind(StrEnum):
    NAMESPACE = "namespace"
    API_KEY = "api_key"
    USER = "user"
    RESTRICTION = "restriction"
    """Of an account: its id is the account's."""


class ChangeHead(Model):
    """The single row that numbers changes. Its lock makes commit order equal number order."""

    __tablename__ = "change_head"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(sa.BigInteger)


class Change(Model):
    __tablename__ = "change"
    seq: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[ChangeKind] = mapped_column(stored_enum(ChangeKind))
    id: Mapped[str] = mapped_column(Text(36))
    __table_args__ = (sa.UniqueConstraint("kind", "id"),)


async def record_change(session: AsyncSession, kind: ChangeKind, id: str) -> None:
    """Call it in the transaction that makes the change."""
    seq = await session.scalar(
        sa.update(ChangeHead).values(seq=ChangeHead.seq + 1).returning(ChangeHead.seq)
    )
    await session.execute(sa.delete(Change).where(Change.kind == kind, Change.id == id))
    await session.execute(sa.insert(Change).values(seq=seq, kind=kind, id=id))
    session.info[CHANGED] = True


async def outrun(session: AsyncSession, seq: int) -> None:
    """Makes the last number higher than this one, where it is not."""
    await session.execute(
        sa.update(ChangeHead).where(ChangeHead.seq <= seq).values(seq=seq + 1),
        execution_options={"synchronize_session": False},
    )
    session.info[CHANGED] = True


async def last_seq(session: AsyncSession) -> int:
    return (await session.scalars(sa.select(ChangeHead.seq))).one()
