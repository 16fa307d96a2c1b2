"""Proof that an address is its user's: a link in a letter."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from tenancy import letters
from tenancy.accounts import locked_account
from tenancy.entrance import Entrance
from tenancy.errors import WrongState
from tenancy.one_time_links import OneTimeLinks, Purpose
from tenancy.roles import Principal
from tenancy.users import User, principals_of, user_of


class EmailProofs:
    def __init__(self, entrance: Entrance, *, links: OneTimeLinks) -> None:
        self._entrance = entrance
        self._links = links

    async def ask(self, session: AsyncSession, user: User) -> None:
        """Posts the letter, in the caller's unit of work."""
        token, expires_at = await self._links.make(session, user, Purpose.VERIFY_EMAIL)
        link = f"{self._entrance.console_address}/verify?token={token}"
        letter = letters.verify_email(user.email, link=link, expires_at=expires_at)
        await self._entrance.outbox.post(
            session, letter, account_id=user.account_id, kind="verify e-mail"
        )

    async def ask_again(self, session: AsyncSession, actor: Principal, address: str) -> None:
        """For a user whose letter was lost; raises RateLimited and WrongState."""
        await locked_account(session, actor.account_id)
        user = await user_of(session, actor.account_id, actor.id)
        if user.email_verified_at is not None:
            raise WrongState("e-mail address of user", user.id, "confirmed already", "go on")
        await self._entrance.limits.admit_letter(session, email=user.email, address=address)
        await self.ask(session, user)

    async def complete(self, session: AsyncSession, token: str) -> None:
        """The link was followed; raises InvalidField."""
        link, user = await self._links.take(session, token, Purpose.VERIFY_EMAIL)
        await prove(session, user, self._entrance)
        assert link.email == user.email, "a user's address never changes"


async def prove(session: AsyncSession, user: User, entrance: Entrance) -> None:
    """Whoever has what a letter to this address said, reads its letters. The account is held."""
    if user.email_verified_at is not None:
        return
    user.email_verified_at = entrance.now()
    actor = (await principals_of(session, [user]))[user.id]
    await entrance.audit.record(session, actor, "user.verify_email", user.id)
