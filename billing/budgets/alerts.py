"""What is told when a threshold is reached: a letter to who pays, a call of the webhook."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.budgets.tables import Budget, DeliveryState, WebhookDelivery
from billing.prices import CURRENCY
from billing.rating import CENT
from billing.times import Period, hour_start, month_name, month_title
from tenancy import PERMITS, Access, Namespace, User
from tenancy.mail import Letter, Outbox
from tenancy.randomness import Now, TokenBytes, new_uuid

LETTER_KIND = "budget_alert"
REACHED = "budget.threshold_reached"
TRIAL = "budget.test"


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that was reached. `is_stopped`: no new workflow is started from now on."""

    budget: Budget
    period: Period
    percent: int
    spent: Decimal
    amount: Decimal
    is_stopped: bool


class Alerts:
    """Letters and webhooks are posted in the caller's unit of work and sent later."""

    def __init__(
        self, *, outbox: Outbox, now: Now, token_bytes: TokenBytes, console_address: str
    ) -> None:
        self._outbox = outbox
        self._now = now
        self._token_bytes = token_bytes
        self._page = f"{console_address}/budgets"

    async def tell(self, session: AsyncSession, alert: Alert) -> None:
        budget = alert.budget
        scope = await scope_of(session, budget)
        payers = await session.scalars(
            sa.select(User.email).where(
                User.account_id == budget.account_id, User.role.in_(PERMITS[Access.FINANCE])
            )
        )
        for email in payers:
            letter = Letter(email, _subject(alert), _text(alert, scope, self._page))
            await self._outbox.post(session, letter, account_id=budget.account_id, kind=LETTER_KIND)
        if budget.webhook_url:
            self._post(session, alert, scope)

    def trial(self, budget: Budget, scope: str) -> tuple[str, bytes]:
        """An event that tells of nothing, for who wants to see one arrive: its id and its body."""
        id = new_uuid(self._token_bytes)
        told = {"budget_id": budget.id, "budget_name": budget.name, "namespace": scope}
        return id, event(id, TRIAL, self._now(), told)

    def _post(self, session: AsyncSession, alert: Alert, scope: str) -> None:
        id, now = new_uuid(self._token_bytes), self._now()
        session.add(
            WebhookDelivery(
                id=id,
                budget_id=alert.budget.id,
                body=event(id, REACHED, now, _data(alert, scope)),
                state=DeliveryState.WAITING,
                attempts=0,
                problem="",
                created_at=now,
                due_at=now,
            )
        )


async def scope_of(session: AsyncSession, budget: Budget) -> str:
    """The full name of the namespace; empty if the budget is of the whole account."""
    if budget.namespace_id is None:
        return ""
    return (await session.get_one(Namespace, budget.namespace_id)).ref.full_name


def event(id: str, kind: str, at: datetime, data: dict[str, Any]) -> bytes:
    """The body of one call of a webhook."""
    told = {"id": id, "type": kind, "timestamp": at.isoformat(), "data": data}
    return json.dumps(told).encode()


def _data(alert: Alert, scope: str) -> dict[str, Any]:
    return {
        "budget_id": alert.budget.id,
        "budget_name": alert.budget.name,
        "account_id": alert.budget.account_id,
        "namespace": scope,
        "month": month_name(alert.period.from_hour),
        "threshold_percent": alert.percent,
        "amount": str(alert.amount),
        "spent": str(alert.spent.quantize(CENT)),
        "currency": CURRENCY,
        "starts_stopped": alert.is_stopped,
    }


def _subject(alert: Alert) -> str:
    return f"Budget {alert.budget.name}: {alert.percent} % spent"


def _text(alert: Alert, scope: str, page: str) -> str:
    month, of = month_title(alert.period.from_hour), scope or "the account"
    lines = [
        f"{alert.spent:,.2f} of {alert.amount:,.2f} {CURRENCY} of the budget {alert.budget.name!r}"
        f" ({of}) are spent in {month}: the threshold of {alert.percent} % is reached.",
    ]
    if alert.is_stopped:
        end = hour_start(alert.period.to_hour)
        lines.append(
            f"No new workflow is started there until {end:%Y-%m-%d} 00:00 UTC, or until the budget"
            " is raised. What is running goes on: signals, timers, retries and children too."
        )
    lines.append(f"See {page}")
    return "\n\n".join(lines) + "\n"
