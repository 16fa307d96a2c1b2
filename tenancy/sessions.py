"""Console sessions: opaque tokens, hashed at rest, ended by idleness, age or will."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import locked_account
from tenancy.audit import AuditResult
from tenancy.database import Model, Text, forget
from tenancy.entrance import Entrance
from tenancy.errors import (
    InvalidField,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    UnauthenticatedReason,
)
from tenancy.passwords import normalized_password
from tenancy.randomness import derived_key, new_secret, new_uuid
from tenancy.roles import Access, Principal, permits
from tenancy.users import User, normalized_email, principals_of

SESSION_IDLE_SECONDS_MAX = 30 * 60
SESSION_AGE_SECONDS_MAX = 12 * 60 * 60
SESSION_TOUCH_SECONDS = 60
"""How coarsely idleness is written: a session may end this much early, never late."""


class LoginSession(Model):
    __tablename__ = "login_session"
    id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    token_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("user_login.id"), index=True)
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
    """One request of a logged-in user."""

    session_id: str
    principal: Principal
    csrf_token: str

    def check_csrf(self, given: str) -> None:
        if not hmac.compare_digest(given.encode(errors="replace"), self.csrf_token.encode()):
            raise Unauthenticated(UnauthenticatedReason.FOREIGN_PAGE)


class Sessions:
    def __init__(self, entrance: Entrance, *, pepper: bytes) -> None:
        self._entrance = entrance
        self._csrf_key = derived_key(pepper, "csrf")

    async def log_in(
        self, *, email: str, password: str, address: str, is_counted: bool = True
    ) -> NewSession:
        """A new session; raises Unauthenticated or RateLimited.

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
        if user is None:
            raise Unauthenticated(UnauthenticatedReason.BAD_CREDENTIALS)
        fresh_hash = None
        if is_right and entrance.passwords.is_outdated(user.password_hash):
            fresh_hash = await entrance.passwords.hash(password)
        async with entrance.database.transaction() as session:
            await locked_account(session, user.account_id)
            user = await session.get_one(User, user.id)
            actor = (await principals_of(session, [user]))[user.id]
            result = AuditResult.ACCEPTED if is_right else AuditResult.DENIED
            await entrance.audit.record(session, actor, "user.log_in", user.id, result=result)
            if is_right:
                is_over = LoginSession.expires_at <= entrance.now()
                await forget(session, LoginSession.id, is_over)
                user.password_hash = fresh_hash or user.password_hash
                return self._open(session, actor)
        raise Unauthenticated(UnauthenticatedReason.BAD_CREDENTIALS)

    async def resume(self, token: str) -> Visit:
        """The user behind a cookie; raises Unauthenticated."""
        now = self._entrance.now()
        digest = _digest(token)
        async with self._entrance.database.reading() as session:
            found = await self._live(session, digest, now)
            user = await session.get_one(User, found.user_id)
            principal = (await principals_of(session, [user]))[user.id]
        if now - found.last_seen_at >= timedelta(seconds=SESSION_TOUCH_SECONDS):
            async with self._entrance.database.transaction() as session:
                await session.execute(
                    sa.update(LoginSession)
                    .where(LoginSession.id == found.id)
                    .values(last_seen_at=now)
                )
        return Visit(found.id, principal, self._csrf_token(digest))

    async def log_out(self, session: AsyncSession, visit: Visit) -> None:
        await session.execute(sa.delete(LoginSession).where(LoginSession.id == visit.session_id))
        await self._entrance.audit.record(
            session, visit.principal, "user.log_out", visit.session_id
        )

    async def revoke_all(self, session: AsyncSession, actor: Principal, user_id: str) -> int:
        """Ends every session of a user, its own or another's; returns how many."""
        action = "user.revoke_sessions"
        if actor.id != user_id and not permits(actor, Access.ACCOUNT_WRITE, None):
            raise PermissionDenied(action, user_id, "ask an account owner")
        await locked_account(session, actor.account_id)
        user = await session.get(User, user_id)
        if user is None or user.account_id != actor.account_id:
            raise NotFound("user", user_id)
        ended = await session.scalars(
            sa.delete(LoginSession)
            .where(LoginSession.user_id == user_id)
            .returning(LoginSession.id)
        )
        await self._entrance.audit.record(session, actor, action, user_id)
        return len(ended.all())

    def _open(self, session: AsyncSession, principal: Principal) -> NewSession:
        now = self._entrance.now()
        token = new_secret(self._entrance.token_bytes)
        digest = _digest(token)
        expires_at = now + timedelta(seconds=SESSION_AGE_SECONDS_MAX)
        session.add(
            LoginSession(
                id=new_uuid(self._entrance.token_bytes),
                token_digest=digest,
                user_id=principal.id,
                created_at=now,
                last_seen_at=now,
                expires_at=expires_at,
            )
        )
        return NewSession(token, self._csrf_token(digest), principal, expires_at)

    async def _live(self, session: AsyncSession, digest: bytes, now: datetime) -> LoginSession:
        found = (
            await session.scalars(
                sa.select(LoginSession).where(
                    LoginSession.token_digest == digest,
                    LoginSession.expires_at > now,
                    LoginSession.last_seen_at > now - timedelta(seconds=SESSION_IDLE_SECONDS_MAX),
                )
            )
        ).first()
        if found is None:
            raise Unauthenticated(UnauthenticatedReason.NO_SESSION)
        return found

    def _csrf_token(self, digest: bytes) -> str:
        return hmac.digest(self._csrf_key, digest, "sha256").hex()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
