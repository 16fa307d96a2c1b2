"""Customers of the payment provider, invoices and what was sent of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

TIME = sa.DateTime(timezone=True)

revision = "invoices_0002"
down_revision = "usage_0001"


def upgrade() -> None:
    op.add_column(
        "usage_cursor", sa.Column("complete_hour", sa.Integer, nullable=False, server_default="0")
    )
    op.create_table(
        "billing_counter",
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_billing_counter"),
    )
    _invoices()
    _provider()


def _invoices() -> None:
    op.create_table(
        "invoice",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("from_hour", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("number", sa.BigInteger),
        sa.Column("plan", sa.String(20), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("total_cents", sa.BigInteger, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finalized_at", TIME),
        sa.Column("sent_at", TIME),
        sa.Column("paid_at", TIME),
        sa.Column("failed_at", TIME),
        sa.Column("reminder_count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invoice"),
        sa.UniqueConstraint("account_id", "from_hour", name="uq_invoice_account_id"),
        sa.UniqueConstraint("number", name="uq_invoice_number"),
    )
    op.create_index("ix_invoice_state", "invoice", ["state"])
    op.create_table(
        "invoice_line",
        sa.Column("invoice_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("from_hour", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("per_million_cents", sa.BigInteger),
        sa.Column("amount_cents", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("invoice_id", "position", name="pk_invoice_line"),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name="fk_invoice_line_invoice_id_invoice"
        ),
    )


def _provider() -> None:
    op.create_table(
        "payer",
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("service", sa.String(20), nullable=False),
        sa.Column("customer_id", sa.String(255), nullable=False),
        sa.Column("card_brand", sa.String(20), nullable=False),
        sa.Column("card_last4", sa.String(4), nullable=False),
        sa.Column("card_expires", sa.String(7), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_payer"),
        sa.UniqueConstraint("customer_id", name="uq_payer_customer_id"),
    )
    op.create_table(
        "provider_object",
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("tried_at", TIME, nullable=False),
        sa.Column("object_id", sa.String(255)),
        sa.PrimaryKeyConstraint("key", name="pk_provider_object"),
    )
    op.create_index("ix_provider_object_object_id", "provider_object", ["object_id"])
    op.create_table(
        "provider_event",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("object_id", sa.String(255), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("acted_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_provider_event"),
    )
    op.create_index("ix_provider_event_received_at", "provider_event", ["received_at"])
