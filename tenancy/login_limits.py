"""How often one may try to log in or sign up: per e-mail and per address."""

from __future__ import annotations

import hmac
import ipaddress
import math
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
IPV6_NETWORK_BITS = 64


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
        """Counts one attempt, or raises RateLimited and counts none."""
        now = self._now()
        window_start = now - timedelta(seconds=ATTEMPT_WINDOW_SECONDS)
        limits = {
            self._digest("email", email): ATTEMPTS_PER_EMAIL_MAX,
            self._digest("address", network_of(address)): ATTEMPTS_PER_ADDRESS_MAX,
        }
        await hold(session, *(f"login attempts {key.hex()}" for key in limits))
        await forget(session, LoginAttempt.id, LoginAttempt.at <= window_start)
        for key, limit in limits.items():
            earlier = (
                await session.scalars(
                    sa.select(LoginAttempt.at)
                    .where(LoginAttempt.key == key)
                    .order_by(LoginAttempt.at.desc())
                    .limit(limit)
                )
            ).all()
            if len(earlier) == limit:
                wait = (earlier[-1] - window_start).total_seconds()
                raise RateLimited(retry_after_seconds=max(1, math.ceil(wait)))
        session.add_all(
            LoginAttempt(id=new_uuid(self._token_bytes), key=key, at=now) for key in limits
        )

    def _digest(self, kind: str, value: str) -> bytes:
        return hmac.digest(self._key, f"{kind}:{value}".encode(), "sha256")


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
