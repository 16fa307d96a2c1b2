"""How often one may try what strangers can ask for: log-ins, codes, letters."""

from __future__ import annotations

import hmac
import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Model, Text, forget
from tenancy.dialects import hold
from tenancy.errors import RateLimited
from tenancy.randomness import Now, TokenBytes, derived_key, new_uuid

ATTEMPTS_PER_EMAIL_MAX = 5
ATTEMPTS_PER_ADDRESS_MAX = 20
ATTEMPT_WINDOW_SECONDS = 60
CODES_PER_USER_MAX = 10
CODE_WINDOW_SECONDS = 15 * 60
LETTERS_PER_EMAIL_MAX = 3
LETTERS_PER_ADDRESS_MAX = 20
INVITATIONS_PER_ACCOUNT_MAX = 50
LETTER_WINDOW_SECONDS = 60 * 60
IPV6_NETWORK_BITS = 64


@dataclass(frozen=True, slots=True)
class Limit:
    """So many attempts of one kind within the latest `window_seconds`, for each value."""

    kind: str
    attempts_max: int
    window_seconds: int


LOG_INS_PER_EMAIL = Limit("email", ATTEMPTS_PER_EMAIL_MAX, ATTEMPT_WINDOW_SECONDS)
LOG_INS_PER_ADDRESS = Limit("address", ATTEMPTS_PER_ADDRESS_MAX, ATTEMPT_WINDOW_SECONDS)
CODES_PER_USER = Limit("code", CODES_PER_USER_MAX, CODE_WINDOW_SECONDS)
LETTERS_PER_EMAIL = Limit("letter", LETTERS_PER_EMAIL_MAX, LETTER_WINDOW_SECONDS)
LETTERS_PER_ADDRESS = Limit("letter address", LETTERS_PER_ADDRESS_MAX, LETTER_WINDOW_SECONDS)
INVITATIONS_PER_ACCOUNT = Limit("invitation", INVITATIONS_PER_ACCOUNT_MAX, LETTER_WINDOW_SECONDS)

WINDOW_SECONDS_MAX = max(ATTEMPT_WINDOW_SECONDS, CODE_WINDOW_SECONDS, LETTER_WINDOW_SECONDS)


class LoginAttempt(Model):
    """`key` is a keyed digest, so the table tells no e-mail and no address."""

    __tablename__ = "login_attempt"
    id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    key: Mapped[bytes] = mapped_column(sa.LargeBinary(32), index=True)
    at: Mapped[datetime] = mapped_column(index=True)


class LoginLimits:
    def __init__(self, *, now: Now, token_bytes: TokenBytes, pepper: bytes) -> None:
        self._now = now
        self._token_bytes = token_bytes
        self._key = derived_key(pepper, "login attempt")

    async def admit(self, session: AsyncSession, *, email: str, address: str) -> None:
        """Counts one log-in, or raises RateLimited and counts none."""
        await self.count(session, {LOG_INS_PER_EMAIL: email, LOG_INS_PER_ADDRESS: address})

    async def admit_letter(self, session: AsyncSession, *, email: str, address: str) -> None:
        """Counts one letter that was asked for, or raises RateLimited and counts none."""
        await self.count(session, {LETTERS_PER_EMAIL: email, LETTERS_PER_ADDRESS: address})

    async def count(self, session: AsyncSession, attempt: Mapping[Limit, str]) -> None:
        """Counts one attempt against each limit's value, or raises RateLimited and counts none."""
        now = self._now()
        keys = {self._digest(limit, value): limit for limit, value in attempt.items()}
        await hold(session, *(f"login attempts {key.hex()}" for key in keys))
        is_over = LoginAttempt.at <= now - timedelta(seconds=WINDOW_SECONDS_MAX)
        await forget(session, LoginAttempt.id, is_over)
        for key, limit in keys.items():
            window_start = now - timedelta(seconds=limit.window_seconds)
            earlier = (
                await session.scalars(
                    sa.select(LoginAttempt.at)
                    .where(LoginAttempt.key == key, LoginAttempt.at > window_start)
                    .order_by(LoginAttempt.at.desc())
                    .limit(limit.attempts_max)
                )
            ).all()
            if len(earlier) == limit.attempts_max:
                wait = (earlier[-1] - window_start).total_seconds()
                raise RateLimited(retry_after_seconds=max(1, math.ceil(wait)))
        session.add_all(
            LoginAttempt(id=new_uuid(self._token_bytes), key=key, at=now) for key in keys
        )

    def _digest(self, limit: Limit, value: str) -> bytes:
        if limit.kind.endswith("address"):
            value = network_of(value)
        return hmac.digest(self._key, f"{limit.kind}:{value}".encode(), "sha256")


def network_of(address: str) -> str:
    """One caller's network: an IPv6 customer owns a whole /64 and could try from each address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed.packed, IPV6_NETWORK_BITS), strict=False))
