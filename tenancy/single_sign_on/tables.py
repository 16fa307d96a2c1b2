"""What single sign-on keeps: the provider of an account, its domains, who is who, open log-ins."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Model, Text, stored_enum
from tenancy.roles import AccountRole

ISSUER_CHARACTERS_MAX = 500
CLIENT_ID_CHARACTERS_MAX = 255
SUBJECT_CHARACTERS_MAX = 255
"""As OpenID Connect has it."""

DOMAIN_CHARACTERS_MAX = 253
NEXT_PAGE_CHARACTERS_MAX = 500


class AttemptKind(StrEnum):
    LOG_IN = "log_in"
    TEST = "test"


class SignOnProvider(Model):
    """The identity provider of an account. `worked_at` is when these very settings last did."""

    __tablename__ = "sign_on_provider"
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), primary_key=True)
    issuer: Mapped[str] = mapped_column(Text(ISSUER_CHARACTERS_MAX))
    client_id: Mapped[str] = mapped_column(Text(CLIENT_ID_CHARACTERS_MAX))
    client_secret: Mapped[bytes] = mapped_column(sa.LargeBinary())
    default_role: Mapped[AccountRole] = mapped_column(stored_enum(AccountRole))
    is_enforced: Mapped[bool]
    break_glass_user_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("user_login.id", ondelete="SET NULL")
    )
    resource_version: Mapped[int]
    worked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SignOnDomain(Model):
    """A domain of e-mail addresses that an account says it owns; proven by one account only."""

    __tablename__ = "sign_on_domain"
    __table_args__ = (
        sa.Index(
            "uq_sign_on_domain_proven",
            "name",
            unique=True,
            sqlite_where=sa.text("proven_at IS NOT NULL"),
            postgresql_where=sa.text("proven_at IS NOT NULL"),
        ),
    )
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), primary_key=True)
    name: Mapped[str] = mapped_column(Text(DOMAIN_CHARACTERS_MAX), primary_key=True)
    proof: Mapped[str] = mapped_column(Text(100))
    created_at: Mapped[datetime]
    proven_at: Mapped[datetime | None]


class SignOnIdentity(Model):
    """Which user somebody at a provider is: an e-mail address may change hands, this does not."""

    __tablename__ = "sign_on_identity"
    __table_args__ = (sa.UniqueConstraint("user_id", "issuer"),)
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), primary_key=True)
    issuer: Mapped[str] = mapped_column(Text(ISSUER_CHARACTERS_MAX), primary_key=True)
    subject: Mapped[str] = mapped_column(Text(SUBJECT_CHARACTERS_MAX), primary_key=True)
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("user_login.id", ondelete="CASCADE"))
    linked_at: Mapped[datetime]


class SignOnAttempt(Model):
    """A log-in that was begun. It is found by the digest of what the browser's cookie holds."""

    __tablename__ = "sign_on_attempt"
    id: Mapped[str] = mapped_column(Text(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), index=True)
    kind: Mapped[AttemptKind] = mapped_column(stored_enum(AttemptKind))
    user_id: Mapped[str | None] = mapped_column(
        sa.ForeignKey("user_login.id", ondelete="CASCADE"), index=True
    )
    provider_version: Mapped[int]
    next_page: Mapped[str] = mapped_column(Text(NEXT_PAGE_CHARACTERS_MAX))
    expires_at: Mapped[datetime] = mapped_column(index=True)
