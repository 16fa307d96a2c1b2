"""Who may start no new workflow, and why."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "restricted_start",
        sa.Column("target_id", sa.String(36), primary_key=True),
        sa.Column("cause", sa.String(20), primary_key=True),
        sa.Column("account_id", sa.String(6), sa.ForeignKey("account.id"), nullable=False),
        sa.Column("why", sa.String(500), nullable=False),
        sa.Column("restricted_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_restricted_start_account_id", "restricted_start", ["account_id"])
