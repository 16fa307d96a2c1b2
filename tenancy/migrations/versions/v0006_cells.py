"""The regions of namespaces, and how far the journals of doors are in the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "namespace", sa.Column("region", sa.String(63), nullable=False, server_default="local")
    )
    op.create_table(
        "act_journal",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
    )
