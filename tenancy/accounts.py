"""Accounts: who owns namespaces and pays for them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Model, Text
from tenancy.dialects import insert
from tenancy.errors import InvalidField, NotFound
from tenancy.randomness import ACCOUNT_ID_CHARACTERS, TokenBytes, new_account_id

ACCOUNT_NAME_CHARACTERS_MAX = 64


class Account(Model):
    """`name` is for people and may be empty. `audit_sequence` and `audit_hash` are the head of the
    account's audit chain. Where a second factor is required, no password alone opens anything.
    """

    __tablename__ = "account"
    id: Mapped[str] = mapped_column(Text(ACCOUNT_ID_CHARACTERS), primary_key=True)
    name: Mapped[str] = mapped_column(Text(ACCOUNT_NAME_CHARACTERS_MAX), default="")
    created_at: Mapped[datetime]
    audit_sequence: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    audit_hash: Mapped[bytes] = mapped_column(sa.LargeBinary(32), default=bytes(32))
    requires_second_factor: Mapped[bool] = mapped_column(default=False)


def check_account_name(name: str) -> None:
    if len(name) > ACCOUNT_NAME_CHARACTERS_MAX or not name.isprintable():
        raise InvalidField(
            "account_name",
            f"must have at most {ACCOUNT_NAME_CHARACTERS_MAX} printable characters",
            "choose another name or leave it out",
        )


async def create_account(
    session: AsyncSession, *, created_at: datetime, token_bytes: TokenBytes, name: str = ""
) -> Account:
    made: Account | None = None
    while made is None:
        row = {"id": new_account_id(token_bytes), "name": name, "created_at": created_at}
        made = await session.scalar(
            insert(session, Account).values(row).on_conflict_do_nothing().returning(Account)
        )
    return made


async def locked_account(session: AsyncSession, account_id: str) -> Account:
    """The account, held until commit: one mutation of an account at a time.

    Take it before all else. What the unit of work read before may be old by now: read it again.
    """
    account = await session.get(
        Account,
        account_id,
        # Rows that refer to the account may come meanwhile.
        with_for_update={"key_share": True},
        populate_existing=True,
    )
    if account is None:
        raise NotFound("account", account_id)
    return account
