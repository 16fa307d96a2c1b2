"""First light: accounts, users, sessions, namespaces, operations, API keys, audit, changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ACCOUNT_ID = sa.String(6)
ENUM = sa.String(20)
UUID = sa.String(36)
DIGEST = sa.LargeBinary(32)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _accounts_and_users()
    _namespaces()
    _api_keys()
    _audit_and_changes()


def _accounts_and_users() -> None:
    op.create_table(
        "account",
        sa.Column("id", ACCOUNT_ID, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("audit_sequence", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", DIGEST, nullable=False),
    )
    op.create_table(
        "user_login",
        sa.Column("id", UUID, primary_key=True),
        _account_id(),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("role", ENUM, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    op.create_table(
        "login_session",
        sa.Column("id", UUID, primary_key=True),
        sa.Column("token_digest", DIGEST, nullable=False, unique=True),
        _user_id(),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False, index=True),
    )
    op.create_table(
        "login_attempt",
        sa.Column("id", UUID, primary_key=True),
        sa.Column("key", DIGEST, nullable=False, index=True),
        sa.Column("at", TIME, nullable=False, index=True),
    )


def _namespaces() -> None:
    op.create_table(
        "namespace",
        sa.Column("id", UUID, primary_key=True),
        _account_id(),
        sa.Column("name", sa.String(39), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("cell", sa.String(63), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("search_attributes", sa.JSON(), nullable=False),
        sa.Column("is_delete_protected", sa.Boolean(), nullable=False),
        sa.Column("state", ENUM, nullable=False),
        sa.Column("resource_version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
    )
    op.create_index(
        "uq_namespace_live_name",
        "namespace",
        ["account_id", "name"],
        unique=True,
        sqlite_where=sa.text("state != 'deleted'"),
        postgresql_where=sa.text("state != 'deleted'"),
    )
    op.create_table(
        "namespace_grant",
        sa.Column("user_id", UUID, sa.ForeignKey("user_login.id"), primary_key=True),
        sa.Column("namespace_id", UUID, sa.ForeignKey("namespace.id"), primary_key=True),
        sa.Column("permission", ENUM, nullable=False),
    )
    op.create_table(
        "async_operation",
        sa.Column("account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), primary_key=True),
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("kind", ENUM, nullable=False),
        sa.Column("state", ENUM, nullable=False, index=True),
        sa.Column("resource_id", UUID, nullable=False, index=True),
        sa.Column("request_digest", DIGEST, nullable=False),
        sa.Column("failure", sa.String(500), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
    )


def _api_keys() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(16), primary_key=True),
        _account_id(),
        _user_id(),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("description", sa.String(256), nullable=False),
        sa.Column("resource_version", sa.Integer(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("account_permission", ENUM, nullable=True),
        sa.Column("grants", sa.JSON(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("is_disabled", sa.Boolean(), nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.Column("last_used_at", TIME, nullable=True),
    )


def _audit_and_changes() -> None:
    op.create_table(
        "audit_record",
        sa.Column("account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor_kind", ENUM, nullable=False),
        sa.Column("actor_id", sa.String(100), nullable=False),
        sa.Column("action", sa.String(100), nullable=False),
        sa.Column("target_ids", sa.JSON(), nullable=False),
        sa.Column("result", ENUM, nullable=False),
        sa.Column("hash", DIGEST, nullable=False),
    )
    op.create_table(
        "change",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("kind", ENUM, nullable=False),
        sa.Column("id", UUID, nullable=False),
        sa.UniqueConstraint("kind", "id"),
    )
    head = op.create_table(
        "change_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "seq": 0}])


def _account_id() -> sa.Column[str]:
    return sa.Column(
        "account_id", ACCOUNT_ID, sa.ForeignKey("account.id"), nullable=False, index=True
    )


def _user_id() -> sa.Column[str]:
    return sa.Column("user_id", UUID, sa.ForeignKey("user_login.id"), nullable=False, index=True)
