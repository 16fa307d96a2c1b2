"""The second step of a log-in: codes of an authenticator app (RFC 6238), and recovery codes."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyotp
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy import letters
from tenancy.accounts import Account, locked_account
from tenancy.database import Model
from tenancy.entrance import Entrance
from tenancy.errors import NotFound, PermissionDenied, WrongState
from tenancy.login_limits import CODES_PER_USER
from tenancy.randomness import derived_key
from tenancy.roles import Access, Principal, require
from tenancy.sealing import Sealer
from tenancy.users import User, user_of

ISSUER = "Perdure"
SEED_BYTES = 20
STEP_SECONDS = 30
STEPS_ASIDE = 1
"""How far a phone's clock may be off."""

RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 10
RECOVERY_CODE_GROUP = 4


class SecondFactor(Model):
    """`last_step` is the time step of the last code that was accepted: none is accepted twice.

    Until it is confirmed by a first code, it is only being set up and nobody is asked for it.
    """

    __tablename__ = "second_factor"
    user_id: Mapped[str] = mapped_column(
        sa.ForeignKey("user_login.id", ondelete="CASCADE"), primary_key=True
    )
    sealed_seed: Mapped[bytes] = mapped_column(sa.LargeBinary)
    last_step: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(Model):
    """One that was not used yet, as a keyed digest."""

    __tablename__ = "recovery_code"
    user_id: Mapped[str] = mapped_column(
        sa.ForeignKey("user_login.id", ondelete="CASCADE"), primary_key=True
    )
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), primary_key=True)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app is given: `uri` as a picture, or `seed` by hand."""

    seed: str
    uri: str


async def has_second_factor(session: AsyncSession, user_id: str) -> bool:
    query = sa.select(SecondFactor.user_id).where(
        SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None)
    )
    return await session.scalar(query) is not None


class SecondFactors:
    def __init__(self, entrance: Entrance, *, secret: bytes) -> None:
        self._entrance = entrance
        self._sealer = Sealer(secret, purpose="second factor", token_bytes=entrance.token_bytes)
        self._key = derived_key(secret, "recovery code")

    async def begin(self, session: AsyncSession, actor: Principal) -> Enrolment:
        """A new seed, of no effect before `confirm`; an earlier one that was not is gone."""
        user = await self._held(session, actor)
        found = await session.get(SecondFactor, user.id, populate_existing=True)
        if found is not None and found.confirmed_at is not None:
            raise WrongState("second factor", user.id, "set up already", "remove it first")
        if found is not None:
            await session.delete(found)
            await session.flush()
        raw = self._entrance.token_bytes(SEED_BYTES)
        session.add(
            SecondFactor(
                user_id=user.id,
                sealed_seed=self._sealer.seal(raw, context=_context(user.id)),
                last_step=0,
                created_at=self._entrance.now(),
            )
        )
        return _enrolment(raw, user.email)

    async def pending(self, session: AsyncSession, actor: Principal) -> Enrolment:
        """The seed that is being set up; a confirmed one is told to nobody."""
        found = await session.get(SecondFactor, actor.id)
        if found is None or found.confirmed_at is not None:
            raise NotFound("second factor", "being set up")
        user = await user_of(session, actor.account_id, actor.id)
        return _enrolment(self._seed(found), user.email)

    async def confirm(
        self, session: AsyncSession, actor: Principal, code: str
    ) -> Sequence[str] | None:
        """The recovery codes if the code is right, and from now on log-ins ask for one."""
        user = await self._held(session, actor)
        found = await session.get(SecondFactor, user.id, populate_existing=True)
        if found is None or found.confirmed_at is not None:
            raise WrongState("second factor", user.id, "not being set up", "begin with that")
        await self._entrance.limits.count(session, {CODES_PER_USER: user.id})
        if not self._matches(found, code):
            return None
        found.confirmed_at = self._entrance.now()
        await self._told(session, actor, user, "user.add_second_factor", letters.SECOND_FACTOR_ON)
        return await self._new_codes(session, user.id)

    async def check(self, session: AsyncSession, user_id: str, code: str) -> bool:
        """Whether a code of the app, or a recovery code, is right; it is used up then.

        The caller holds the account. Each try counts; raises RateLimited.
        """
        await self._entrance.limits.count(session, {CODES_PER_USER: user_id})
        found = await session.get(SecondFactor, user_id, populate_existing=True)
        if found is None or found.confirmed_at is None:
            return False
        return self._matches(found, code) or await self._is_recovery(session, user_id, code)

    async def renew_codes(
        self, session: AsyncSession, actor: Principal, code: str
    ) -> Sequence[str] | None:
        """New recovery codes instead of the old ones, if the code is right."""
        await self._held(session, actor)
        if not await self.check(session, actor.id, code):
            return None
        await self._entrance.audit.record(session, actor, "user.renew_recovery_codes", actor.id)
        return await self._new_codes(session, actor.id)

    async def remove(self, session: AsyncSession, actor: Principal, code: str) -> bool:
        """The caller's own, if the code is right. An account may forbid to be without."""
        account = await locked_account(session, actor.account_id)
        user = await user_of(session, actor.account_id, actor.id)
        if account.requires_second_factor:
            raise WrongState(
                "second factor", user.id, "required by the account", "ask an account owner"
            )
        if not await self.check(session, user.id, code):
            return False
        await self._removed(session, actor, user)
        return True

    async def remove_of(self, session: AsyncSession, actor: Principal, user_id: str) -> None:
        """Of a member who lost it, by an owner: nobody can take away the own one this way."""
        action = "user.remove_second_factor"
        require(actor, Access.OWNER, action, target=user_id)
        await locked_account(session, actor.account_id)
        user = await user_of(session, actor.account_id, user_id)
        if user.id == actor.user_id:
            raise PermissionDenied(action, user_id, "ask another owner, or use a recovery code")
        if await session.get(SecondFactor, user.id) is None:
            raise NotFound("second factor of user", user_id)
        await self._removed(session, actor, user)

    async def set_required(
        self, session: AsyncSession, actor: Principal, is_required: bool
    ) -> Account:
        """Whether everybody who logs in by password needs one. Sessions without it end their work
        at once, so whoever asks for it must have one.
        """
        action = "account.require_second_factor"
        require(actor, Access.OWNER, action, target=actor.account_id)
        account = await locked_account(session, actor.account_id)
        if is_required and not await has_second_factor(session, actor.user_id or ""):
            raise WrongState(
                "second factor", actor.user_id or "", "not set up", "set up your own first"
            )
        account.requires_second_factor = is_required
        target = "required" if is_required else "not required"
        await self._entrance.audit.record(session, actor, action, account.id, target)
        return account

    async def codes_left(self, session: AsyncSession, user_id: str) -> int:
        query = sa.select(sa.func.count()).where(RecoveryCode.user_id == user_id)
        return await session.scalar(query) or 0

    async def _held(self, session: AsyncSession, actor: Principal) -> User:
        await locked_account(session, actor.account_id)
        return await user_of(session, actor.account_id, actor.id)

    async def _removed(self, session: AsyncSession, actor: Principal, user: User) -> None:
        for table in (RecoveryCode, SecondFactor):
            await session.execute(sa.delete(table).where(table.user_id == user.id))
        what = letters.SECOND_FACTOR_OFF
        await self._told(session, actor, user, "user.remove_second_factor", what)

    async def _told(
        self, session: AsyncSession, actor: Principal, user: User, action: str, what: str
    ) -> None:
        entrance = self._entrance
        await entrance.audit.record(session, actor, action, user.id)
        link = f"{entrance.console_address}/forgotten"
        letter = letters.second_factor_changed(user.email, what=what, link=link)
        kind = "second factor"
        await entrance.outbox.post(session, letter, account_id=user.account_id, kind=kind)

    def _seed(self, found: SecondFactor) -> bytes:
        return self._sealer.unseal(found.sealed_seed, context=_context(found.user_id))

    def _matches(self, found: SecondFactor, code: str) -> bool:
        """A code of now or nearly now, and of a later step than any that was accepted before."""
        totp = pyotp.TOTP(_base32(self._seed(found)), interval=STEP_SECONDS)
        given = "".join(code.split()).encode(errors="replace")
        present = int(self._entrance.now().timestamp()) // STEP_SECONDS
        for step in range(present - STEPS_ASIDE, present + STEPS_ASIDE + 1):
            is_right = hmac.compare_digest(totp.generate_otp(step).encode(), given)
            if is_right and step > found.last_step:
                found.last_step = step
                return True
        return False

    async def _is_recovery(self, session: AsyncSession, user_id: str, code: str) -> bool:
        used = sa.delete(RecoveryCode).where(
            RecoveryCode.user_id == user_id, RecoveryCode.digest == self._digest(user_id, code)
        )
        return await session.scalar(used.returning(RecoveryCode.user_id)) is not None

    async def _new_codes(self, session: AsyncSession, user_id: str) -> Sequence[str]:
        await session.execute(sa.delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        texts = [
            _base32(self._entrance.token_bytes(RECOVERY_CODE_BYTES)).lower()
            for _ in range(RECOVERY_CODES)
        ]
        session.add_all(
            RecoveryCode(user_id=user_id, digest=self._digest(user_id, text)) for text in texts
        )
        return [_grouped(text) for text in texts]

    def _digest(self, user_id: str, code: str) -> bytes:
        text = "".join(code.split()).replace("-", "").lower()
        told = f"{user_id} {text}".encode(errors="replace")
        return hmac.digest(self._key, told, hashlib.sha256)


def _enrolment(raw: bytes, email: str) -> Enrolment:
    seed = _base32(raw)
    uri = pyotp.TOTP(seed).provisioning_uri(name=email, issuer_name=ISSUER)
    return Enrolment(seed, uri)


def _context(user_id: str) -> str:
    return f"second factor {user_id}"


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=")


def _grouped(text: str) -> str:
    groups = range(0, len(text), RECOVERY_CODE_GROUP)
    return "-".join(text[at : at + RECOVERY_CODE_GROUP] for at in groups)
