"""A new password: by who knows the old one, or by who reads the letters of its address."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy import letters
from tenancy.accounts import locked_account
from tenancy.email_proof import prove
from tenancy.entrance import Entrance
from tenancy.errors import InvalidField
from tenancy.one_time_links import OneTimeLinks, Purpose
from tenancy.passwords import normalized_password
from tenancy.sessions import Sessions, Visit
from tenancy.users import User, normalized_email, principals_of, user_of


class PasswordChanges:
    """Hashing holds no transaction, so each act is two short ones."""

    def __init__(self, entrance: Entrance, *, sessions: Sessions, links: OneTimeLinks) -> None:
        self._entrance = entrance
        self._sessions = sessions
        self._links = links

    async def change(self, visit: Visit, *, current: str, new: str, address: str) -> None:
        """All other sessions of the user end. Raises InvalidField and RateLimited."""
        entrance, actor = self._entrance, visit.principal
        new = _checked(new)
        async with entrance.database.transaction() as session:
            user = await user_of(session, actor.account_id, actor.id)
            await entrance.limits.admit(session, email=user.email, address=address)
        stored = user.password_hash
        wrong = InvalidField("current_password", "is not yours", "ask for a letter to reset it")
        if not await self._is_right(stored, current):
            raise wrong
        fresh = await entrance.passwords.hash(new)
        async with entrance.database.transaction() as session:
            await locked_account(session, actor.account_id)
            user = await user_of(session, actor.account_id, actor.id)
            if user.password_hash != stored:
                raise wrong
            await self._set(session, user, fresh, "user.change_password", but=visit.session_id)

    async def ask(self, *, email: str, address: str) -> None:
        """Posts a letter to the address, whoever has it; one that nobody has is told that.

        So the answer, and nearly its time, is the same for known and for unknown addresses.
        """
        email, entrance = normalized_email(email), self._entrance
        async with entrance.database.transaction() as session:
            await entrance.limits.admit_letter(session, email=email, address=address)
            user = (await session.scalars(sa.select(User).where(User.email == email))).first()
        async with entrance.database.transaction() as session:
            if user is None:
                link = f"{entrance.console_address}/forgotten"
                letter = letters.reset_unknown(email, link=link)
                await entrance.outbox.post(session, letter, account_id=None, kind="reset password")
                return
            await locked_account(session, user.account_id)
            user = await user_of(session, user.account_id, user.id)
            token, expires_at = await self._links.make(session, user, Purpose.RESET_PASSWORD)
            link = f"{entrance.console_address}/reset?token={token}"
            letter = letters.reset_password(email, link=link, expires_at=expires_at)
            await entrance.outbox.post(
                session, letter, account_id=user.account_id, kind="reset password"
            )
            actor = (await principals_of(session, [user]))[user.id]
            await entrance.audit.record(session, actor, "user.ask_password_reset", user.id)

    async def complete(self, *, token: str, new: str) -> None:
        """Sets the password and ends all sessions and links of the user. Raises InvalidField.

        A second factor is still asked for afterwards.
        """
        new = _checked(new)
        async with self._entrance.database.transaction() as session:
            # A wrong token costs no hashing.
            _, user = await self._links.find(session, token, Purpose.RESET_PASSWORD)
        fresh = await self._entrance.passwords.hash(new)
        async with self._entrance.database.transaction() as session:
            _, user = await self._links.take(session, token, Purpose.RESET_PASSWORD)
            await prove(session, user, self._entrance)
            await self._set(session, user, fresh, "user.reset_password")

    async def _set(
        self, session: AsyncSession, user: User, fresh: str, action: str, *, but: str | None = None
    ) -> None:
        entrance = self._entrance
        user.password_hash = fresh
        actor = (await principals_of(session, [user]))[user.id]
        await entrance.audit.record(session, actor, action, user.id)
        await self._sessions.revoke_all(session, actor, user.id, but=but)
        await self._links.end(session, user.id, Purpose.RESET_PASSWORD, Purpose.SECOND_STEP)
        link = f"{entrance.console_address}/forgotten"
        letter = letters.password_changed(user.email, link=link)
        await entrance.outbox.post(
            session, letter, account_id=user.account_id, kind="password changed"
        )

    async def _is_right(self, stored: str, password: str) -> bool:
        try:
            password = normalized_password(password)
        except InvalidField:
            return False
        return await self._entrance.passwords.verify(stored, password)


def _checked(password: str) -> str:
    try:
        return normalized_password(password)
    except InvalidField as error:
        raise InvalidField("new_password", error.limit, error.remedy) from None
