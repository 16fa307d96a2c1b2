"""The tables of budgets."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from billing.tables import ID_CHARACTERS_MAX, Model
from tenancy.database import Text, UtcDateTime, stored_enum
from tenancy.deliveries import Delivery
from tenancy.outgoing import URL_CHARACTERS_MAX

BUDGET_NAME_CHARACTERS_MAX = 64
PROBLEM_CHARACTERS_MAX = 200


class Budget(Model):
    """What an account, or one of its namespaces, is meant to spend in a month.

    `target_id` is the namespace's id or the account's: each has one budget at most.
    """

    __tablename__ = "budget"
    id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), primary_key=True)
    account_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), index=True)
    target_id: Mapped[str] = mapped_column(sa.String(ID_CHARACTERS_MAX), unique=True)
    name: Mapped[str] = mapped_column(Text(BUDGET_NAME_CHARACTERS_MAX))
    amount_cents: Mapped[int] = mapped_column(sa.BigInteger)
    thresholds: Mapped[list[int]] = mapped_column(sa.JSON)
    stops_starts: Mapped[bool]
    webhook_url: Mapped[str] = mapped_column(Text(URL_CHARACTERS_MAX))
    webhook_secret: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    webhook_tested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resource_version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def namespace_id(self) -> str | None:
        """None if the budget is of the whole account."""
        return None if self.target_id == self.account_id else self.target_id


class ReachedThreshold(Model):
    """A percentage of a budget that was reached in a month, and told: once."""

    __tablename__ = "budget_reached"
    budget_id: Mapped[str] = mapped_column(
        sa.String(ID_CHARACTERS_MAX), sa.ForeignKey("budget.id"), primary_key=True
    )
    from_hour: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    percent: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    reached_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DeliveryState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(Delivery, Model):
    """An alert to the webhook of its budget. `id` goes along, for receivers that get it twice."""

    __tablename__ = "budget_delivery"
    budget_id: Mapped[str] = mapped_column(
        sa.String(ID_CHARACTERS_MAX), sa.ForeignKey("budget.id"), index=True
    )
    body: Mapped[bytes] = mapped_column(sa.LargeBinary)
    state: Mapped[DeliveryState] = mapped_column(stored_enum(DeliveryState))
    problem: Mapped[str] = mapped_column(Text(PROBLEM_CHARACTERS_MAX))
