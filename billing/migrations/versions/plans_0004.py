"""Which plan an account has from which month on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "plans_0004"
down_revision = "budgets_0003"


def upgrade() -> None:
    op.create_table(
        "account_plan",
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("from_hour", sa.Integer, nullable=False),
        sa.Column("plan", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "from_hour", name="pk_account_plan"),
    )
