"""Single sign-on: providers, proven domains, identities, and log-ins under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ACCOUNT_ID = sa.String(6)
UUID = sa.String(36)
ENUM = sa.String(20)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sign_on_provider",
        sa.Column("account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), primary_key=True),
        sa.Column("issuer", sa.String(500), nullable=False),
        sa.Column("client_id", sa.String(255), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False),
        sa.Column("default_role", ENUM, nullable=False),
        sa.Column("is_enforced", sa.Boolean(), nullable=False),
        _user_id("break_glass_user_id", "SET NULL", nullable=True),
        sa.Column("resource_version", sa.Integer(), nullable=False),
        sa.Column("worked_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
    )
    op.create_table(
        "sign_on_domain",
        sa.Column("account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), primary_key=True),
        sa.Column("name", sa.String(253), primary_key=True),
        sa.Column("proof", sa.String(100), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("proven_at", TIME, nullable=True),
    )
    op.create_index(
        "uq_sign_on_domain_proven",
        "sign_on_domain",
        ["name"],
        unique=True,
        sqlite_where=sa.text("proven_at IS NOT NULL"),
        postgresql_where=sa.text("proven_at IS NOT NULL"),
    )
    op.create_table(
        "sign_on_identity",
        sa.Column("account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), primary_key=True),
        sa.Column("issuer", sa.String(500), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        _user_id("user_id", "CASCADE"),
        sa.Column("linked_at", TIME, nullable=False),
        sa.UniqueConstraint("user_id", "issuer"),
    )
    op.create_table(
        "sign_on_attempt",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column(
            "account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), nullable=False, index=True
        ),
        sa.Column("kind", ENUM, nullable=False),
        _user_id("user_id", "CASCADE", nullable=True, index=True),
        sa.Column("provider_version", sa.Integer(), nullable=False),
        sa.Column("next_page", sa.String(500), nullable=False),
        sa.Column("expires_at", TIME, nullable=False, index=True),
    )


def _user_id(
    name: str, on_delete: str, *, nullable: bool = False, index: bool = False
) -> sa.Column[str]:
    user = sa.ForeignKey("user_login.id", ondelete=on_delete)
    return sa.Column(name, UUID, user, nullable=nullable, index=index)
