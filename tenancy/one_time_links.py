"""Links that letters carry: each opens one thing, once, for a while."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import locked_account
from tenancy.database import Model, Text, forget, stored_enum
from tenancy.errors import InvalidField
from tenancy.randomness import Now, TokenBytes, new_secret
from tenancy.users import EMAIL_CHARACTERS_MAX, User

VERIFY_HOURS = 48
RESET_HOURS = 1
SECOND_STEP_MINUTES = 5


class Purpose(StrEnum):
    """What a link opens. The second step of a log-in is one that goes by no letter."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a purpose
    SECOND_STEP = "second_step"


LIFE = {
    Purpose.VERIFY_EMAIL: timedelta(hours=VERIFY_HOURS),
    Purpose.RESET_PASSWORD: timedelta(hours=RESET_HOURS),
    Purpose.SECOND_STEP: timedelta(minutes=SECOND_STEP_MINUTES),
}


class OneTimeLink(Model):
    """`email` is the address that its letter went to. `tries` counts wrong codes."""

    __tablename__ = "one_time_link"
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), primary_key=True)
    purpose: Mapped[Purpose] = mapped_column(stored_enum(Purpose))
    user_id: Mapped[str] = mapped_column(
        sa.ForeignKey("user_login.id", ondelete="CASCADE"), index=True
    )
    email: Mapped[str] = mapped_column(Text(EMAIL_CHARACTERS_MAX))
    tries: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class OneTimeLinks:
    def __init__(self, *, now: Now, token_bytes: TokenBytes) -> None:
        self._now = now
        self._token_bytes = token_bytes

    async def make(
        self, session: AsyncSession, user: User, purpose: Purpose
    ) -> tuple[str, datetime]:
        """The token of a new link and its end; earlier links of this purpose end now."""
        now = self._now()
        await forget(session, OneTimeLink.digest, OneTimeLink.expires_at <= now)
        await self.end(session, user.id, purpose)
        token = new_secret(self._token_bytes)
        expires_at = now + LIFE[purpose]
        session.add(
            OneTimeLink(
                digest=digest_of(token),
                purpose=purpose,
                user_id=user.id,
                email=user.email,
                tries=0,
                expires_at=expires_at,
            )
        )
        return token, expires_at

    async def find(
        self, session: AsyncSession, token: str, purpose: Purpose
    ) -> tuple[OneTimeLink, User]:
        """The link and its user, whose account is held from now on. Raises InvalidField."""
        account_id = await session.scalar(
            sa.select(User.account_id)
            .join(OneTimeLink, OneTimeLink.user_id == User.id)
            .where(OneTimeLink.digest == digest_of(token))
        )
        if account_id is None:
            raise unusable_link()
        await locked_account(session, account_id)
        found = await session.get(OneTimeLink, digest_of(token), populate_existing=True)
        if found is None or found.purpose is not purpose or found.expires_at <= self._now():
            raise unusable_link()
        return found, await session.get_one(User, found.user_id, populate_existing=True)

    async def take(
        self, session: AsyncSession, token: str, purpose: Purpose
    ) -> tuple[OneTimeLink, User]:
        """As `find`; nobody else finds it again."""
        found, user = await self.find(session, token, purpose)
        await session.delete(found)
        await session.flush()
        return found, user

    async def end(self, session: AsyncSession, user_id: str, *purposes: Purpose) -> None:
        """Ends a user's links; all of them where no purpose is named."""
        await session.execute(
            sa.delete(OneTimeLink).where(
                OneTimeLink.user_id == user_id, OneTimeLink.purpose.in_(purposes or Purpose)
            )
        )


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()


def unusable_link() -> InvalidField:
    """One text for what never was, is over, or was used: it is not for guessing."""
    return InvalidField("token", "must be of a link not used or expired", "ask for a new one")
