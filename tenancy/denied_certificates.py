"""Single client certificates that a namespace refuses, whoever issued them."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import locked_account
from tenancy.audit import AuditLog
from tenancy.changes import ChangeKind, record_change
from tenancy.database import Model, Text
from tenancy.errors import InvalidField, LimitReached, NotFound
from tenancy.namespaces import Namespace
from tenancy.randomness import Now
from tenancy.roles import Access, Principal, require_in

DENIED_PER_NAMESPACE_MAX = 1_000
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class DeniedCertificate(Model):
    """Also of a CA: then whatever it issued is refused."""

    __tablename__ = "denied_certificate"
    namespace_id: Mapped[str] = mapped_column(sa.ForeignKey("namespace.id"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text(64), primary_key=True)
    denied_at: Mapped[datetime]


class DeniedCertificates:
    def __init__(self, *, now: Now, audit: AuditLog) -> None:
        self._now = now
        self._audit = audit

    async def deny(
        self, session: AsyncSession, actor: Principal, namespace: Namespace, text: str
    ) -> DeniedCertificate:
        """From the next seconds on; denying again changes nothing."""
        fingerprint = read_fingerprint(text)
        action = "certificate.deny"
        require_in(actor, Access.ADMIN, action, on=namespace.ref)
        await locked_account(session, namespace.account_id)
        denied = await denied_in(session, [namespace.id])
        if fingerprint in denied.get(namespace.id, ()):
            return await session.get_one(DeniedCertificate, (namespace.id, fingerprint))
        if len(denied.get(namespace.id, ())) >= DENIED_PER_NAMESPACE_MAX:
            raise LimitReached(
                "denied certificates of a namespace",
                DENIED_PER_NAMESPACE_MAX,
                "replace the CA that issued them",
            )
        made = DeniedCertificate(
            namespace_id=namespace.id, fingerprint=fingerprint, denied_at=self._now()
        )
        session.add(made)
        await record_change(session, ChangeKind.NAMESPACE, namespace.id)
        await self._audit.record(session, actor, action, namespace.id, fingerprint)
        return made

    async def allow(
        self, session: AsyncSession, actor: Principal, namespace: Namespace, text: str
    ) -> None:
        """Takes a denial back; raises NotFound where there is none."""
        fingerprint = read_fingerprint(text)
        action = "certificate.allow"
        require_in(actor, Access.ADMIN, action, on=namespace.ref)
        await locked_account(session, namespace.account_id)
        found = await session.get(DeniedCertificate, (namespace.id, fingerprint))
        if found is None:
            raise NotFound("denied certificate", fingerprint)
        await session.delete(found)
        await record_change(session, ChangeKind.NAMESPACE, namespace.id)
        await self._audit.record(session, actor, action, namespace.id, fingerprint)

    async def of(self, session: AsyncSession, namespace: Namespace) -> list[DeniedCertificate]:
        """The newest first."""
        found = await session.scalars(
            sa.select(DeniedCertificate)
            .where(DeniedCertificate.namespace_id == namespace.id)
            .order_by(DeniedCertificate.denied_at.desc(), DeniedCertificate.fingerprint)
        )
        return list(found)


async def denied_in(
    session: AsyncSession, namespace_ids: Collection[str]
) -> dict[str, frozenset[str]]:
    """Fingerprints by namespace; one that denies none is left out."""
    found = await session.scalars(
        sa.select(DeniedCertificate).where(DeniedCertificate.namespace_id.in_(namespace_ids))
    )
    denied: dict[str, set[str]] = {}
    for each in found:
        denied.setdefault(each.namespace_id, set()).add(each.fingerprint)
    return {id: frozenset(fingerprints) for id, fingerprints in denied.items()}


def read_fingerprint(text: str) -> str:
    """In lower case without colons, as tools print it otherwise."""
    fingerprint = text.replace(":", "").strip().lower()
    if _FINGERPRINT.fullmatch(fingerprint) is None:
        raise InvalidField(
            "fingerprint",
            "must be the SHA-256 fingerprint of a certificate: 64 hexadecimal digits",
            "read it by `openssl x509 -noout -fingerprint -sha256`",
        )
    return fingerprint
