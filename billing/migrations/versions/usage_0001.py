"""Hourly usage, the cells' cursors and the shards' marks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

TENANT_TEXT = sa.Text().with_variant(sa.LargeBinary(), "postgresql")

revision = "usage_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "usage_hour",
        sa.Column("namespace_id", sa.String(36), nullable=False),
        sa.Column("hour", sa.Integer, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("workflow_type", TENANT_TEXT, nullable=False),
        sa.Column("task_queue", TENANT_TEXT, nullable=False),
        sa.Column("account_id", sa.String(36)),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "namespace_id", "hour", "action", "workflow_type", "task_queue", name="pk_usage_hour"
        ),
    )
    op.create_index("ix_usage_hour_account_id", "usage_hour", ["account_id", "hour"])
    op.create_table(
        "usage_cursor",
        sa.Column("cell_id", sa.String(36), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("cell_id", name="pk_usage_cursor"),
    )
    op.create_table(
        "usage_shard",
        sa.Column("cell_id", sa.String(36), nullable=False),
        sa.Column("shard_id", sa.Integer, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("cell_id", "shard_id", name="pk_usage_shard"),
    )
