"""Budgets, the thresholds they reached and who is told; what each month's hours sum up to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing.times import month_of

TIME = sa.DateTime(timezone=True)
ID = sa.String(36)

revision = "budgets_0003"
down_revision = "invoices_0002"


def upgrade() -> None:
    op.create_table(
        "usage_month",
        sa.Column("from_hour", sa.Integer, nullable=False),
        sa.Column("namespace_id", ID, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("from_hour", "namespace_id", name="pk_usage_month"),
    )
    _sum_up_months()
    op.create_table(
        "budget",
        sa.Column("id", ID, nullable=False),
        sa.Column("account_id", ID, nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("amount_cents", sa.BigInteger, nullable=False),
        sa.Column("thresholds", sa.JSON, nullable=False),
        sa.Column("stops_starts", sa.Boolean, nullable=False),
        sa.Column("webhook_url", sa.String(2000), nullable=False),
        sa.Column("webhook_secret", sa.LargeBinary),
        sa.Column("webhook_tested_at", TIME),
        sa.Column("resource_version", sa.Integer, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budget"),
        sa.UniqueConstraint("target_id", name="uq_budget_target_id"),
    )
    op.create_index("ix_budget_account_id", "budget", ["account_id"])
    op.create_table(
        "budget_reached",
        sa.Column("budget_id", ID, nullable=False),
        sa.Column("from_hour", sa.Integer, nullable=False),
        sa.Column("percent", sa.Integer, nullable=False),
        sa.Column("reached_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("budget_id", "from_hour", "percent", name="pk_budget_reached"),
        sa.ForeignKeyConstraint(
            ["budget_id"], ["budget.id"], name="fk_budget_reached_budget_id_budget"
        ),
    )
    _deliveries()


def _deliveries() -> None:
    op.create_table(
        "budget_delivery",
        sa.Column("id", ID, nullable=False),
        sa.Column("budget_id", ID, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.String(200), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("ended_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_budget_delivery"),
        sa.ForeignKeyConstraint(
            ["budget_id"], ["budget.id"], name="fk_budget_delivery_budget_id_budget"
        ),
    )
    for column in ("budget_id", "due_at", "ended_at"):
        op.create_index(f"ix_budget_delivery_{column}", "budget_delivery", [column])


def _sum_up_months() -> None:
    connection = op.get_bind()
    first, last = connection.execute(sa.text("SELECT min(hour), max(hour) FROM usage_hour")).one()
    while first is not None and first <= last:
        period = month_of(first)
        connection.execute(
            sa.text(
                "INSERT INTO usage_month (from_hour, namespace_id, count)"
                " SELECT :first, namespace_id, sum(count) FROM usage_hour"
                " WHERE hour >= :first AND hour < :end GROUP BY namespace_id"
            ),
            {"first": period.from_hour, "end": period.to_hour},
        )
        first = period.to_hour
