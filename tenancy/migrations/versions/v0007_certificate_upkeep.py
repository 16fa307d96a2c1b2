"""When CAs of namespaces expire and how far their people were told of it; what CAs revoked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from cryptography import x509
from cryptography.hazmat.primitives import hashes

revision = "0007"
down_revision = "0006"

FIRST_TOLD = timedelta(days=30)
SUBJECT_CHARACTERS = 200
AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    table = op.create_table(
        "expiring_authority",
        sa.Column("namespace_id", sa.String(36), sa.ForeignKey("namespace.id"), primary_key=True),
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("subject", sa.String(SUBJECT_CHARACTERS), nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("told_days", sa.Integer(), nullable=True),
        sa.Column("due_at", AT, nullable=True),
    )
    op.create_index("ix_expiring_authority_due_at", "expiring_authority", ["due_at"])
    op.bulk_insert(table, list(_trusted()))
    op.create_table(
        "revocation_list",
        sa.Column("namespace_id", sa.String(36), sa.ForeignKey("namespace.id"), primary_key=True),
        sa.Column("authority", sa.String(64), primary_key=True),
        sa.Column("issuer", sa.String(SUBJECT_CHARACTERS), nullable=False),
        sa.Column("serials", sa.JSON(), nullable=False),
        sa.Column("issued_at", AT, nullable=False),
        sa.Column("next_at", AT, nullable=True),
    )


def _trusted() -> Iterator[dict[str, Any]]:
    """What is trusted already; one that is expired is told of once."""
    namespace = sa.table(
        "namespace", sa.column("id"), sa.column("certificate_trust", sa.JSON), sa.column("state")
    )
    asked = sa.select(namespace.c.id, namespace.c.certificate_trust).where(
        namespace.c.certificate_trust.is_not(None), namespace.c.state != "deleted"
    )
    for id, trust in op.get_bind().execute(asked):
        for authority in _authorities(trust["authorities"]):
            subject = authority.subject.rfc4514_string()[:SUBJECT_CHARACTERS]
            expires_at = authority.not_valid_after_utc
            yield {
                "namespace_id": id,
                "fingerprint": authority.fingerprint(hashes.SHA256()).hex(),
                "subject": "".join(it if it.isprintable() else "\ufffd" for it in subject),
                "expires_at": expires_at,
                "told_days": None,
                "due_at": expires_at - FIRST_TOLD if trust["is_enabled"] else None,
            }


def _authorities(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode()) if pem else []
    except ValueError:
        # A letter that is missing is no reason not to start.
        return []
