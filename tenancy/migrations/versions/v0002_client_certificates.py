"""Client certificates: what a namespace trusts, and single certificates that are denied."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

UUID = sa.String(36)


def upgrade() -> None:
    op.add_column("namespace", sa.Column("certificate_trust", sa.JSON(), nullable=True))
    op.create_table(
        "denied_certificate",
        sa.Column("namespace_id", UUID, sa.ForeignKey("namespace.id"), primary_key=True),
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("denied_at", sa.DateTime(timezone=True), nullable=False),
    )
