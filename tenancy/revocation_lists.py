"""What the CAs of a namespace have revoked, as their newest lists have it.

A list goes on holding when it is out of date: who is on it is refused, and nobody else. CAs that
publish nothing for a night must not stop the workers of all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from cryptography import x509
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import locked_account
from tenancy.audit import AuditLog
from tenancy.certificates import SUBJECT_CHARACTERS_MAX, authority_id
from tenancy.changes import ChangeKind, record_change
from tenancy.database import Model, Text
from tenancy.errors import InvalidField, LimitReached, NotFound
from tenancy.namespaces import Namespace
from tenancy.randomness import Now
from tenancy.revocation_upload import LIST_FIELD, read_list
from tenancy.roles import Access, Principal, require_in

REVOKED_PER_NAMESPACE_MAX = 2_000


class RevocationList(Model):
    """The newest of one CA. `serials` are in hex; `authority` outlives a renewal of the CA."""

    __tablename__ = "revocation_list"
    namespace_id: Mapped[str] = mapped_column(sa.ForeignKey("namespace.id"), primary_key=True)
    authority: Mapped[str] = mapped_column(Text(64), primary_key=True)
    issuer: Mapped[str] = mapped_column(Text(SUBJECT_CHARACTERS_MAX))
    serials: Mapped[list[str]] = mapped_column(sa.JSON)
    issued_at: Mapped[datetime]
    next_at: Mapped[datetime | None]


class RevocationLists:
    def __init__(self, *, now: Now, audit: AuditLog) -> None:
        self._now = now
        self._audit = audit

    async def upload(
        self, session: AsyncSession, actor: Principal, namespace: Namespace, text: str
    ) -> RevocationList:
        """Takes the place of the CA's list before, from the next seconds on."""
        action = "revocation_list.upload"
        require_in(actor, Access.ADMIN, action, on=namespace.ref)
        await locked_account(session, namespace.account_id)
        await session.refresh(namespace)
        trusted = namespace.settings.certificates.certificates
        read = read_list(text, trusted, self._now())
        kept = await _kept(session, namespace, trusted)
        known = kept.pop(read.authority, None)
        if known is not None and read.issued_at < known.issued_at:
            raise InvalidField(
                LIST_FIELD,
                f"is older than the one that is there, of {known.issued_at:%Y-%m-%d %H:%M} UTC",
                "upload the newest",
            )
        count = len(read.serials) + sum(len(each.serials) for each in kept.values())
        if count > REVOKED_PER_NAMESPACE_MAX:
            raise LimitReached(
                "revoked certificates of a namespace",
                REVOKED_PER_NAMESPACE_MAX,
                "have the CA leave out what has expired, or replace the CA",
            )
        row = known or RevocationList(namespace_id=namespace.id, authority=read.authority)
        row.issuer, row.issued_at, row.next_at = read.issuer, read.issued_at, read.next_at
        row.serials = [f"{serial:x}" for serial in sorted(read.serials)]
        session.add(row)
        await record_change(session, ChangeKind.NAMESPACE, namespace.id)
        await self._audit.record(session, actor, action, namespace.id, read.authority)
        return row

    async def remove(
        self, session: AsyncSession, actor: Principal, namespace: Namespace, authority: str
    ) -> None:
        """Whoever is on it is accepted again; raises NotFound where there is none."""
        action = "revocation_list.remove"
        require_in(actor, Access.ADMIN, action, on=namespace.ref)
        await locked_account(session, namespace.account_id)
        found = await session.get(RevocationList, (namespace.id, authority))
        if found is None:
            raise NotFound("revocation list", authority)
        await session.delete(found)
        await record_change(session, ChangeKind.NAMESPACE, namespace.id)
        await self._audit.record(session, actor, action, namespace.id, authority)

    async def of(self, session: AsyncSession, namespace: Namespace) -> list[RevocationList]:
        """By the names of the CAs."""
        found = await session.scalars(
            sa.select(RevocationList)
            .where(RevocationList.namespace_id == namespace.id)
            .order_by(RevocationList.issuer, RevocationList.authority)
        )
        return list(found)


async def revoked_in(
    session: AsyncSession, namespace_ids: Collection[str]
) -> dict[str, dict[str, frozenset[int]]]:
    """Serial numbers by namespace and CA; a namespace without lists is left out."""
    found = await session.scalars(
        sa.select(RevocationList).where(RevocationList.namespace_id.in_(namespace_ids))
    )
    revoked: dict[str, dict[str, frozenset[int]]] = {}
    for each in found:
        serials = frozenset(int(serial, 16) for serial in each.serials)
        revoked.setdefault(each.namespace_id, {})[each.authority] = serials
    return revoked


async def _kept(
    session: AsyncSession, namespace: Namespace, trusted: Sequence[x509.Certificate]
) -> dict[str, RevocationList]:
    """By CA; the lists of CAs that are not trusted any more are forgotten."""
    ids = set(map(authority_id, trusted))
    found: Mapping[str, RevocationList] = {
        each.authority: each
        for each in await session.scalars(
            sa.select(RevocationList).where(RevocationList.namespace_id == namespace.id)
        )
    }
    for gone in found.keys() - ids:
        await session.delete(found[gone])
    return {id: each for id, each in found.items() if id in ids}
