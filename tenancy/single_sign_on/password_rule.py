"""Where single sign-on is enforced, passwords are for the break-glass owner alone."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.audit import AuditLog
from tenancy.errors import Unauthenticated, UnauthenticatedReason
from tenancy.roles import AccountRole
from tenancy.single_sign_on.domains import domain_of, proven_domains
from tenancy.single_sign_on.tables import SignOnProvider
from tenancy.users import User, principals_of


class PasswordRule:
    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def __call__(self, session: AsyncSession, user: User) -> None:
        """Raises Unauthenticated where the user's address is of a domain that must not."""
        provider = await session.get(SignOnProvider, user.account_id, populate_existing=True)
        if provider is None or not provider.is_enforced:
            return
        if domain_of(user.email) not in await proven_domains(session, user.account_id):
            return
        # Where the chosen owner has left, the others are let in rather than nobody.
        is_owner = user.role is AccountRole.OWNER
        if user.id != provider.break_glass_user_id and not (
            provider.break_glass_user_id is None and is_owner
        ):
            raise Unauthenticated(UnauthenticatedReason.SINGLE_SIGN_ON)
        actor = (await principals_of(session, [user]))[user.id]
        await self._audit.record(session, actor, "user.break_glass", user.id)
