"""Letters, one-time links, invitations, second factors."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ACCOUNT_ID = sa.String(6)
ENUM = sa.String(20)
UUID = sa.String(36)
DIGEST = sa.LargeBinary(32)
EMAIL = sa.String(254)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _users_and_sessions()
    _letters()
    _links_and_invitations()
    _second_factors()


def _users_and_sessions() -> None:
    _add("account", "requires_second_factor", sa.Boolean(), sa.false())
    _add("user_login", "resource_version", sa.Integer(), sa.text("1"))
    op.add_column("user_login", sa.Column("updated_at", TIME, nullable=True))
    op.add_column("user_login", sa.Column("email_verified_at", TIME, nullable=True))
    _add("login_session", "method", ENUM, "password")
    _add("login_session", "user_agent", sa.String(200), "")


def _letters() -> None:
    op.create_table(
        "letter",
        sa.Column("id", UUID, primary_key=True),
        sa.Column("account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), nullable=True, index=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("recipient", EMAIL, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("state", ENUM, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=True, index=True),
        sa.Column("ended_at", TIME, nullable=True, index=True),
    )


def _links_and_invitations() -> None:
    op.create_table(
        "one_time_link",
        sa.Column("digest", DIGEST, primary_key=True),
        sa.Column("purpose", ENUM, nullable=False),
        _user_id(index=True),
        sa.Column("email", EMAIL, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False, index=True),
    )
    op.create_table(
        "invitation",
        sa.Column("id", UUID, primary_key=True),
        sa.Column(
            "account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), nullable=False, index=True
        ),
        sa.Column("email", EMAIL, nullable=False, index=True),
        sa.Column("role", ENUM, nullable=False),
        sa.Column("grants", sa.JSON(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False, unique=True),
        sa.Column("resource_version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.UniqueConstraint("account_id", "email"),
    )


def _second_factors() -> None:
    op.create_table(
        "second_factor",
        _user_id(primary_key=True),
        sa.Column("sealed_seed", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("confirmed_at", TIME, nullable=True),
    )
    op.create_table(
        "recovery_code",
        _user_id(primary_key=True),
        sa.Column("digest", DIGEST, primary_key=True),
    )


def _add(table: str, column: str, kind: Any, default: Any) -> None:
    """With a default for the rows that are there."""
    op.add_column(table, sa.Column(column, kind, nullable=False, server_default=default))


def _user_id(*, primary_key: bool = False, index: bool = False) -> sa.Column[str]:
    """What is a user's alone goes with the user."""
    return sa.Column(
        "user_id",
        UUID,
        sa.ForeignKey("user_login.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
        index=index or None,
    )
