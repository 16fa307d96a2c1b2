"""Letters to who administers a namespace, before a CA that it trusts expires."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy import letters
from tenancy.accounts import locked_account
from tenancy.authority_expiry import ExpiringAuthority
from tenancy.database import Database
from tenancy.mail import Outbox
from tenancy.namespaces import Namespace, NamespaceState
from tenancy.randomness import Now
from tenancy.roles import ADMIN_OF_ALL_NAMESPACES, PERMITS, Access
from tenancy.users import NamespaceGrant, User

KIND = "authority_expires"
LOOK_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 1.0
AUTHORITIES_PER_LOOK_MAX = 200


class ExpiryLetters:
    """Several may work on one database. `console_address` is where the letters send their readers.

    What is told of a namespace is one unit of work with the note that it was: after a crash it was
    told, or the next look does it.
    """

    def __init__(
        self, *, database: Database, outbox: Outbox, now: Now, console_address: str
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._now = now
        self._console_address = console_address

    async def write(self) -> float:
        """Those that are due; returns in how many seconds to look again.

        However many namespaces there are, a look is a question to an index.
        """
        async with self._database.reading() as session:
            found = await session.execute(
                sa.select(Namespace.account_id, Namespace.id)
                .join(ExpiringAuthority, ExpiringAuthority.namespace_id == Namespace.id)
                .where(ExpiringAuthority.due_at <= self._now())
                .order_by(ExpiringAuthority.due_at)
                .limit(AUTHORITIES_PER_LOOK_MAX)
            )
            due = [(account_id, namespace_id) for account_id, namespace_id in found]
        for account_id, namespace_id in dict.fromkeys(due):
            async with self._database.transaction() as session:
                await locked_account(session, account_id)
                await self._tell(session, namespace_id)
        return LOOK_AGAIN_SECONDS if len(due) == AUTHORITIES_PER_LOOK_MAX else LOOK_SECONDS

    async def _tell(self, session: AsyncSession, namespace_id: str) -> None:
        """Of all CAs of the namespace that are due, in one letter to each reader."""
        now = self._now()
        rows = list(
            await session.scalars(
                sa.select(ExpiringAuthority)
                .where(
                    ExpiringAuthority.namespace_id == namespace_id, ExpiringAuthority.due_at <= now
                )
                .order_by(ExpiringAuthority.expires_at, ExpiringAuthority.fingerprint)
            )
        )
        if not rows:
            # Somebody else was here since it was looked up.
            return
        namespace = await session.get_one(Namespace, namespace_id)
        if namespace.state in (NamespaceState.DELETING, NamespaceState.DELETED):
            for row in rows:
                row.due_at = None
            return
        name = namespace.ref.full_name
        told = [letters.Expiry(row.subject, row.fingerprint, row.expires_at) for row in rows]
        link = f"{self._console_address}/namespaces/{name}/certificates"
        for email in await _readers(session, namespace):
            letter = letters.authorities_expire(
                email, namespace=name, told=told, link=link, now=now
            )
            await self._outbox.post(session, letter, account_id=namespace.account_id, kind=KIND)
        for row in rows:
            row.note_told(now)


async def _readers(session: AsyncSession, namespace: Namespace) -> list[str]:
    """Who may do something about it."""
    is_granted = sa.and_(
        NamespaceGrant.user_id == User.id, NamespaceGrant.namespace_id == namespace.id
    )
    found = await session.scalars(
        sa.select(User.email)
        .outerjoin(NamespaceGrant, is_granted)
        .where(
            User.account_id == namespace.account_id,
            sa.or_(
                User.role.in_(ADMIN_OF_ALL_NAMESPACES),
                NamespaceGrant.permission.in_(PERMITS[Access.ADMIN]),
            ),
        )
        .order_by(User.email)
    )
    return list(found)
