"""Billing's tables in the control plane's database."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from billing.prices import Plan
from tenancy.database import UtcDateTime, stored_enum

ID_CHARACTERS_MAX = 36
PROVIDER_ID_CHARACTERS_MAX = 255


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
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
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


class UsageMonth(Model):
    """The Actions of a namespace in one month: the sum of its hours, kept with them."""

    __tablename__ = "usage_month"
    from_hour: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    namespace_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    count: Mapped[int] = mapped_column(sa.BigInteger)


class UsageCursor(Model):
    """How far a cell's facts are collected. Its lock lets one collector per cell write.

    All that the cell committed before `complete_hour` began is collected.
    """

    __tablename__ = "usage_cursor"
    cell_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    position: Mapped[int] = mapped_column(sa.BigInteger)
    complete_hour: Mapped[int] = mapped_column(default=0)


class UsageShard(Model):
    """The last sequence of a shard that was counted: rows up to it are known."""

    __tablename__ = "usage_shard"
    cell_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    shard_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(sa.BigInteger)


class Counter(Model):
    """A number that the next one follows without a gap: taken in the unit of work that uses it."""

    __tablename__ = "billing_counter"
    name: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    last: Mapped[int] = mapped_column(sa.BigInteger)


class AccountPlan(Model):
    """The plan of an account from the month that `from_hour` begins; a later row ends it."""

    __tablename__ = "account_plan"
    account_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    from_hour: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    plan: Mapped[Plan] = mapped_column(stored_enum(Plan))


class InvoiceState(StrEnum):
    """How far an invoice is. Its lines are as they are from the first state on."""

    DRAFT = "draft"
    FINALIZED = "finalized"
    SENT = "sent"
    PAID = "paid"
    FAILED = "failed"
    VOID = "void"


class Invoice(Model):
    """One month of one account, as it was rated. `number` is there from FINALIZED on.

    `failed_at` is when a payment failed first, while none has been made since; `reminder_count` is
    how many letters were written about that.
    """

    __tablename__ = "invoice"
    id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    account_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX))
    from_hour: Mapped[int]
    state: Mapped[InvoiceState] = mapped_column(stored_enum(InvoiceState))
    number: Mapped[int | None] = mapped_column(sa.BigInteger, unique=True)
    plan: Mapped[str] = mapped_column(sa.String(20))
    currency: Mapped[str] = mapped_column(sa.String(3))
    total_cents: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finalized_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reminder_count: Mapped[int] = mapped_column(default=0)
    __table_args__ = (
        sa.UniqueConstraint("account_id", "from_hour"),
        sa.Index(None, "state"),
    )


class InvoiceLine(Model):
    """`from_hour` begins the month whose Actions `quantity` counts: an earlier one if they came
    after its invoice was made.
    """

    __tablename__ = "invoice_line"
    invoice_id: Mapped[str] = mapped_column(
        sa.String(ID_CHARACTERS_MAX), sa.ForeignKey("invoice.id"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_hour: Mapped[int]
    text: Mapped[str] = mapped_column(sa.Text)
    quantity: Mapped[int | None] = mapped_column(sa.BigInteger)
    per_million_cents: Mapped[int | None] = mapped_column(sa.BigInteger)
    amount_cents: Mapped[int] = mapped_column(sa.BigInteger)


class Payer(Model):
    """An account as the payment service knows it. The card's fields are empty without a card.

    `service` is which one: the real one, its test mode, or the stand-in.
    """

    __tablename__ = "payer"
    account_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    service: Mapped[str] = mapped_column(sa.String(20))
    customer_id: Mapped[str] = mapped_column(sa.String(PROVIDER_ID_CHARACTERS_MAX), unique=True)
    card_brand: Mapped[str] = mapped_column(sa.String(20), default="")
    card_last4: Mapped[str] = mapped_column(sa.String(4), default="")
    card_expires: Mapped[str] = mapped_column(sa.String(7), default="")
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProviderObject(Model):
    """What is made once at the payment service. `key` names the business fact that it is made of;
    without an `object_id`, whether it was made is not known yet.
    """

    __tablename__ = "provider_object"
    key: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    tried_at: Mapped[datetime] = mapped_column(UtcDateTime)
    object_id: Mapped[str | None] = mapped_column(sa.String(PROVIDER_ID_CHARACTERS_MAX), index=True)


class ProviderEvent(Model):
    """What the payment service told us; kept before it is acted upon."""

    __tablename__ = "provider_event"
    id: Mapped[str] = mapped_column(sa.String(PROVIDER_ID_CHARACTERS_MAX), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(100))
    object_id: Mapped[str] = mapped_column(sa.String(PROVIDER_ID_CHARACTERS_MAX))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    acted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
