"""Billing's tables in the control plane's database."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ID_CHARACTERS_MAX = 36


class Utf8(sa.TypeDecorator[str]):
    """Text as its bytes."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else value.decode()


TENANT_TEXT = sa.Text().with_variant(Utf8(), "postgresql")
"""Tenants choose it freely, and PostgreSQL has no text with NUL in it."""


class Model(DeclarativeBase):
    """One row of billing's."""

    metadata = sa.MetaData(
        naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s"}
    )


class Usage(Model):
    """Actions counted in one hour. No account: none had the namespace when it was collected."""

    __tablename__ = "usage_hour"
    namespace_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    hour: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    action: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    workflow_type: Mapped[str] = mapped_column(TENANT_TEXT, primary_key=True)
    task_queue: Mapped[str] = mapped_column(TENANT_TEXT, primary_key=True)
    account_id: Mapped[str | None] = mapped_column(sa.String(ID_CHARACTERS_MAX))
    count: Mapped[int] = mapped_column(sa.BigInteger)
    __table_args__ = (sa.Index(None, "account_id", "hour"),)


class UsageCursor(Model):
    """How far a cell's facts are collected. Its lock lets one collector per cell write."""

    __tablename__ = "usage_cursor"
    cell_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    position: Mapped[int] = mapped_column(sa.BigInteger)


class UsageShard(Model):
    """The last sequence of a shard that was counted: rows up to it are known."""

    __tablename__ = "usage_shard"
    cell_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    shard_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(sa.BigInteger)
