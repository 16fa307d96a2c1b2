"""What the parts of single sign-on have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.audit import AuditLog
from tenancy.database import Database
from tenancy.login_limits import Limit, LoginLimits
from tenancy.randomness import Now, TokenBytes
from tenancy.users import User

Claim = Callable[[AsyncSession, str, str], Awaitable[User | None]]
"""The user that an invitation to an account makes of who has an e-mail address, if there is one."""

QUESTIONS_PER_ACCOUNT = Limit("sign-on question", attempts_max=30, window_seconds=60)
"""How often an account may have us ask a server that it names."""


@dataclass(frozen=True, slots=True)
class Tools:
    database: Database
    now: Now
    token_bytes: TokenBytes
    audit: AuditLog
    claim: Claim
    limits: LoginLimits

    async def count_question(self, account_id: str) -> None:
        """In a unit of work of its own, so that it counts whatever comes of it; or RateLimited."""
        async with self.database.transaction() as session:
            await self.limits.count(session, {QUESTIONS_PER_ACCOUNT: account_id})
