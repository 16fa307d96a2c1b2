"""Logging in by password: a right one opens a session, or asks for the second step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy import letters
from tenancy.accounts import locked_account
from tenancy.audit import AuditResult
from tenancy.entrance import Entrance
from tenancy.errors import InvalidField, RateLimited, Unauthenticated, UnauthenticatedReason
from tenancy.one_time_links import OneTimeLinks, Purpose
from tenancy.passwords import normalized_password
from tenancy.second_factor import SecondFactors, has_second_factor
from tenancy.sessions import NewSession, Sessions, SignInMethod
from tenancy.users import User, normalized_email, principals_of

CODE_TRIES_MAX = 5
"""Wrong codes after which the password is asked for again."""

SignInRule = Callable[[AsyncSession, User], Awaitable[None]]
"""Raises Unauthenticated where this user may not log in by password; it was right."""


@dataclass(frozen=True, slots=True)
class SecondStep:
    """The password was right; `token` and a code open the session."""

    token: str
    expires_at: datetime


class SignIn:
    """`rules` are asked each time: whoever forbids passwords adds one."""

    def __init__(
        self,
        entrance: Entrance,
        *,
        sessions: Sessions,
        links: OneTimeLinks,
        second_factors: SecondFactors,
    ) -> None:
        self._entrance = entrance
        self._sessions = sessions
        self._links = links
        self._second_factors = second_factors
        self.rules: list[SignInRule] = []

    async def log_in(
        self,
        *,
        email: str,
        password: str,
        address: str,
        user_agent: str = "",
        is_counted: bool = True,
    ) -> NewSession | SecondStep:
        """Raises Unauthenticated or RateLimited.

        It is not to be counted where the same request was already counted as a sign-up.
        """
        try:
            email, password = normalized_email(email), normalized_password(password)
        except InvalidField:
            raise Unauthenticated(UnauthenticatedReason.BAD_CREDENTIALS) from None
        entrance = self._entrance
        async with entrance.database.transaction() as session:
            if is_counted:
                await entrance.limits.admit(session, email=email, address=address)
            user = (await session.scalars(sa.select(User).where(User.email == email))).first()
        # Hashing holds no transaction: it takes long enough to block every other writer.
        stored = None if user is None else user.password_hash
        is_right = await entrance.passwords.verify(stored, password)
        if user is None or stored is None:
            raise Unauthenticated(UnauthenticatedReason.BAD_CREDENTIALS)
        fresh_hash = None
        if is_right and entrance.passwords.is_outdated(stored):
            fresh_hash = await entrance.passwords.hash(password)
        refusal: Unauthenticated | None = None
        async with entrance.database.transaction() as session:
            await locked_account(session, user.account_id)
            user = await session.get(User, user.id, populate_existing=True)
            # It may have been removed, or its password changed, while this one was hashed.
            if user is None or user.password_hash != stored:
                raise Unauthenticated(UnauthenticatedReason.BAD_CREDENTIALS)
            try:
                if not is_right:
                    raise Unauthenticated(UnauthenticatedReason.BAD_CREDENTIALS)
                for rule in self.rules:
                    await rule(session, user)
            except Unauthenticated as error:
                # Raised again behind the transaction, so that its record stays.
                refusal = error
                await self._record_denial(session, user)
            else:
                user.password_hash = fresh_hash or stored
                if await has_second_factor(session, user.id):
                    return SecondStep(*await self._links.make(session, user, Purpose.SECOND_STEP))
                return await self._open(session, user, user_agent)
        raise refusal

    async def finish(self, *, token: str, code: str, user_agent: str = "") -> NewSession:
        """The second step: opens the session; raises Unauthenticated or RateLimited."""
        entrance = self._entrance
        async with entrance.database.transaction() as session:
            try:
                link, user = await self._links.find(session, token, Purpose.SECOND_STEP)
            except InvalidField:
                raise Unauthenticated(UnauthenticatedReason.NO_SESSION) from None
            for rule in self.rules:
                await rule(session, user)
            # Raised again behind the transaction, so that what it changes stays.
            refusal: Unauthenticated | RateLimited
            try:
                if await self._second_factors.check(session, user.id, code):
                    await session.delete(link)
                    return await self._open(session, user, user_agent)
            except RateLimited as limited:
                refusal = limited
                await self._warn(session, user)
            else:
                refusal = Unauthenticated(UnauthenticatedReason.BAD_CODE)
                await self._record_denial(session, user)
            link.tries += 1
            if isinstance(refusal, RateLimited) or link.tries >= CODE_TRIES_MAX:
                await session.delete(link)
        raise refusal

    async def _open(self, session: AsyncSession, user: User, user_agent: str) -> NewSession:
        method = SignInMethod.PASSWORD
        return await self._sessions.open_for(session, user, method=method, user_agent=user_agent)

    async def _record_denial(self, session: AsyncSession, user: User) -> None:
        actor = (await principals_of(session, [user]))[user.id]
        await self._entrance.audit.record(
            session, actor, "user.log_in", user.id, result=AuditResult.DENIED
        )

    async def _warn(self, session: AsyncSession, user: User) -> None:
        """Whoever tries codes knows the password."""
        link = f"{self._entrance.console_address}/forgotten"
        letter = letters.second_factor_changed(user.email, what=letters.CODES_GUESSED, link=link)
        kind = "codes guessed"
        await self._entrance.outbox.post(session, letter, account_id=user.account_id, kind=kind)
