"""A month of an account, rated once: its invoice and the lines, with what came late of others."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.plans import plan_of
from billing.prices import CURRENCY, Plan, price_list
from billing.rating import Line, rate
from billing.tables import Invoice, InvoiceLine, InvoiceState, Usage
from billing.times import Period, hour_start, month_of, month_title

LATE_MONTHS_MAX = 12
"""Cells keep facts until they are collected, so nothing comes later than this."""

CENTS_PER_DOLLAR = 100


async def find_invoice(session: AsyncSession, account_id: str, period: Period) -> Invoice | None:
    found = await session.scalars(
        sa.select(Invoice).where(
            Invoice.account_id == account_id, Invoice.from_hour == period.from_hour
        )
    )
    return found.one_or_none()


async def snapshot_invoice(
    session: AsyncSession,
    account_id: str,
    period: Period,
    *,
    id: str,
    at: datetime,
) -> Invoice:
    """The draft, by the account's plan of the period. The account is locked and has none of this
    period. Raises NoPriceList.

    What is counted for the period from now on is a line of a later invoice.
    """
    plan = await plan_of(session, account_id, period)
    actions = await _actions(session, account_id, period)
    lines = [_stored(line, period) for line in _rated(actions, plan, period)]
    lines += await _corrections(session, account_id, period)
    for position, line in enumerate(lines):
        line.invoice_id, line.position = id, position
    invoice = Invoice(
        id=id,
        account_id=account_id,
        from_hour=period.from_hour,
        state=InvoiceState.DRAFT,
        plan=plan,
        currency=CURRENCY,
        total_cents=sum(line.amount_cents for line in lines),
        created_at=at,
        reminder_count=0,
    )
    session.add(invoice)
    await session.flush()
    session.add_all(lines)
    await session.flush()
    return invoice


async def _corrections(session: AsyncSession, account_id: str, period: Period) -> list[InvoiceLine]:
    """A line for each earlier month that has more Actions by now than were invoiced."""
    billed = await session.execute(
        sa.select(
            InvoiceLine.from_hour,
            sa.func.coalesce(sa.func.sum(InvoiceLine.quantity), 0),
            sa.func.coalesce(sa.func.sum(InvoiceLine.amount_cents), 0),
        )
        .join(Invoice, Invoice.id == InvoiceLine.invoice_id)
        .where(Invoice.account_id == account_id, InvoiceLine.from_hour < period.from_hour)
        .group_by(InvoiceLine.from_hour)
        .order_by(InvoiceLine.from_hour.desc())
        .limit(LATE_MONTHS_MAX)
    )
    lines = []
    for from_hour, billed_actions, billed_cents in billed.all():
        month = month_of(from_hour)
        actions = await _actions(session, account_id, month)
        late = actions - int(billed_actions or 0)
        if late <= 0:
            continue
        first = await find_invoice(session, account_id, month)
        assert first is not None, "what was invoiced has an invoice"
        now_cents = sum(map(_cents, _rated(actions, Plan(first.plan), month)))
        lines.append(
            InvoiceLine(
                from_hour=from_hour,
                text=f"Actions of {month_title(from_hour)}, counted after its invoice",
                quantity=late,
                per_million_cents=None,
                amount_cents=now_cents - int(billed_cents),
            )
        )
    return sorted(lines, key=lambda line: line.from_hour)


async def _actions(session: AsyncSession, account_id: str, period: Period) -> int:
    counted = await session.scalar(
        sa.select(sa.func.coalesce(sa.func.sum(Usage.count), 0)).where(
            Usage.account_id == account_id,
            Usage.hour >= period.from_hour,
            Usage.hour < period.to_hour,
        )
    )
    return int(counted or 0)


def _rated(actions: int, plan: Plan, period: Period) -> Iterable[Line]:
    return rate(actions, price_list(plan, hour_start(period.from_hour).date()))


def _stored(line: Line, period: Period) -> InvoiceLine:
    per_million = line.per_million
    return InvoiceLine(
        from_hour=period.from_hour,
        text=line.text,
        quantity=line.quantity,
        per_million_cents=None if per_million is None else int(per_million * CENTS_PER_DOLLAR),
        amount_cents=_cents(line),
    )


def _cents(line: Line) -> int:
    return int(line.amount * CENTS_PER_DOLLAR)
