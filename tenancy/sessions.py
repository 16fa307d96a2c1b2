"""Console sessions: opaque tokens, hashed at rest, ended by idleness, age or will."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import Account, locked_account
from tenancy.database import Model, Text, forget, stored_enum
from tenancy.entrance import Entrance
from tenancy.errors import (
    NotFound,
    PermissionDenied,
    Unauthenticated,
    UnauthenticatedReason,
)
from tenancy.one_time_links import digest_of
from tenancy.randomness import derived_key, new_secret, new_uuid
from tenancy.roles import Access, Principal, permits
from tenancy.second_factor import has_second_factor
from tenancy.users import User, principals_of, user_of

SESSION_IDLE_SECONDS_MAX = 30 * 60
SESSION_AGE_SECONDS_MAX = 12 * 60 * 60
SESSION_TOUCH_SECONDS = 60
"""How coarsely idleness is written: a session may end this much early, never late."""

USER_AGENT_CHARACTERS_MAX = 200


class SignInMethod(StrEnum):
    """How a user proved who it is."""

    PASSWORD = "password"  # noqa: S105 - the name of a method
    SINGLE_SIGN_ON = "single_sign_on"


_ACTIONS = {
    SignInMethod.PASSWORD: "user.log_in",
    SignInMethod.SINGLE_SIGN_ON: "user.log_in_by_single_sign_on",
}


class LoginSession(Model):
    """`user_agent` is what the browser called itself, for its user to recognize."""

    __tablename__ = "login_session"
    id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    token_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("user_login.id"), index=True)
    method: Mapped[SignInMethod] = mapped_column(stored_enum(SignInMethod))
    user_agent: Mapped[str] = mapped_column(Text(USER_AGENT_CHARACTERS_MAX), default="")
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


@dataclass(frozen=True, slots=True)
class NewSession:
    """`token` goes into the cookie and is known nowhere else."""

    token: str
    csrf_token: str
    principal: Principal
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a logged-in user. `must_enrol` is a user who has to set up a second factor
    before anything else.
    """

    session_id: str
    principal: Principal
    csrf_token: str
    must_enrol: bool = False

    def check_csrf(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(errors="replace"), self.csrf_token.encode()):
            raise Unauthenticated(UnauthenticatedReason.FOREIGN_PAGE)


class Sessions:
    def __init__(self, entrance: Entrance, *, pepper: bytes) -> None:
        self._entrance = entrance
        self._csrf_key = derived_key(pepper, "csrf")

    async def open_for(
        self, session: AsyncSession, user: User, *, method: SignInMethod, user_agent: str = ""
    ) -> NewSession:
        """A session for a user who has proved who it is, in the caller's unit of work.

        The caller holds the account; the log-in is audited here.
        """
        now = self._entrance.now()
        await forget(session, LoginSession.id, LoginSession.expires_at <= now)
        principal = (await principals_of(session, [user]))[user.id]
        await self._entrance.audit.record(session, principal, _ACTIONS[method], user.id)
        token = new_secret(self._entrance.token_bytes)
        digest = digest_of(token)
        expires_at = now + timedelta(seconds=SESSION_AGE_SECONDS_MAX)
        session.add(
            LoginSession(
                id=new_uuid(self._entrance.token_bytes),
                token_digest=digest,
                user_id=user.id,
                method=method,
                user_agent=_readable(user_agent),
                created_at=now,
                last_seen_at=now,
                expires_at=expires_at,
            )
        )
        return NewSession(token, self._csrf_token(digest), principal, expires_at)

    async def resume(self, token: str, *, is_enrolling: bool = False) -> Visit:
        """The user behind a cookie; raises Unauthenticated.

        Whoever came by password and lacks the second factor that the account requires is let in
        only to set it up.
        """
        now = self._entrance.now()
        digest = digest_of(token)
        async with self._entrance.database.reading() as session:
            found = await self._live(session, digest, now)
            user = await session.get_one(User, found.user_id)
            principal = (await principals_of(session, [user]))[user.id]
            must_enrol = await _must_enrol(session, found, user)
        if must_enrol and not is_enrolling:
            raise Unauthenticated(UnauthenticatedReason.SECOND_FACTOR_MISSING)
        if now - found.last_seen_at >= timedelta(seconds=SESSION_TOUCH_SECONDS):
            async with self._entrance.database.transaction() as session:
                await session.execute(
                    sa.update(LoginSession)
                    .where(LoginSession.id == found.id)
                    .values(last_seen_at=now)
                )
        return Visit(found.id, principal, self._csrf_token(digest), must_enrol)

    async def log_out(self, session: AsyncSession, visit: Visit) -> None:
        await session.execute(sa.delete(LoginSession).where(LoginSession.id == visit.session_id))
        await self._entrance.audit.record(
            session, visit.principal, "user.log_out", visit.session_id
        )

    async def of_user(self, session: AsyncSession, user_id: str) -> list[LoginSession]:
        """A user's live sessions, the latest first."""
        query = (
            sa.select(LoginSession)
            .where(LoginSession.user_id == user_id, *_is_live(self._entrance.now()))
            .order_by(LoginSession.last_seen_at.desc(), LoginSession.id)
        )
        return list(await session.scalars(query))

    async def revoke(self, session: AsyncSession, actor: Principal, session_id: str) -> None:
        """Ends one session of the caller's own."""
        found = await session.get(LoginSession, session_id)
        if found is None or found.user_id != actor.id:
            raise NotFound("session", session_id)
        await session.delete(found)
        await self._entrance.audit.record(session, actor, "user.revoke_session", session_id)

    async def revoke_all(
        self, session: AsyncSession, actor: Principal, user_id: str, *, but: str | None = None
    ) -> int:
        """Ends every session of a user, its own or another's, but one; returns how many."""
        action = "user.revoke_sessions"
        if actor.id != user_id and not permits(actor, Access.ACCOUNT_WRITE, None):
            raise PermissionDenied(action, user_id, "ask an account owner")
        await locked_account(session, actor.account_id)
        await user_of(session, actor.account_id, user_id)
        ended = await session.scalars(
            sa.delete(LoginSession)
            .where(LoginSession.user_id == user_id, LoginSession.id != (but or ""))
            .returning(LoginSession.id)
        )
        await self._entrance.audit.record(session, actor, action, user_id)
        return len(ended.all())

    async def _live(self, session: AsyncSession, digest: bytes, now: datetime) -> LoginSession:
        query = sa.select(LoginSession).where(LoginSession.token_digest == digest, *_is_live(now))
        found = (await session.scalars(query)).first()
        if found is None:
            raise Unauthenticated(UnauthenticatedReason.NO_SESSION)
        return found

    def _csrf_token(self, digest: bytes) -> str:
        return hmac.digest(self._csrf_key, digest, "sha256").hex()


def _is_live(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    idle_since = now - timedelta(seconds=SESSION_IDLE_SECONDS_MAX)
    return (LoginSession.expires_at > now, LoginSession.last_seen_at > idle_since)


async def _must_enrol(session: AsyncSession, found: LoginSession, user: User) -> bool:
    """A provider of single sign-on asks for second factors by itself."""
    if found.method is not SignInMethod.PASSWORD:
        return False
    account = await session.get_one(Account, user.account_id)
    return account.requires_second_factor and not await has_second_factor(session, user.id)


def _readable(text: str) -> str:
    cut = text[:USER_AGENT_CHARACTERS_MAX]
    return "".join(character for character in cut if character.isprintable())
