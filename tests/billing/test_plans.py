"""A plan is chosen for the months to come; each month is shown, spent and invoiced by its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from billing.plans import choose_plan, plan_of
from billing.prices import MILLION, Plan
from billing.queries import GroupBy, month_to_date, usage_series
from billing.tables import AccountPlan
from billing.times import month_name, month_named
from tenancy import AccountRole, AuditRecord, PermissionDenied, Principal
from tests.billing.payments import MONTH, Payments, after

MARCH, APRIL, MAY = (month_named(name) for name in (MONTH, "2026-04", "2026-05"))
LAST_SECOND_OF_MARCH = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)


async def choose(payments: Payments, actor: Principal, plan: Plan) -> None:
    control, clock = payments.cloud.control, payments.cloud.clock
    async with control.acting(actor) as session:
        await choose_plan(session, actor, plan, audit=control.audit, now=clock.now)


async def plans(payments: Payments, account_id: str) -> list[Plan]:
    """Of March, April and May."""
    async with payments.database.reading() as session:
        return [await plan_of(session, account_id, month) for month in (MARCH, APRIL, MAY)]


async def chosen_months(payments: Payments) -> list[str]:
    async with payments.database.reading() as session:
        rows = await session.scalars(sa.select(AccountPlan.from_hour))
        return [month_name(from_hour) for from_hour in rows]


async def test_a_plan_is_in_force_from_the_month_behind_its_choice_on(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    rival = await payments.cloud.owner("rival@example.com")
    payments.cloud.clock.at = LAST_SECOND_OF_MARCH
    await choose(payments, owner, Plan.BUSINESS)
    assert await plans(payments, owner.account_id) == [
        Plan.DEVELOPER,
        Plan.BUSINESS,
        Plan.BUSINESS,
    ]
    payments.cloud.clock.move(seconds=1)
    await choose(payments, owner, Plan.DEVELOPER)
    assert await plans(payments, owner.account_id) == [
        Plan.DEVELOPER,
        Plan.BUSINESS,
        Plan.DEVELOPER,
    ]
    assert await plans(payments, rival.account_id) == [Plan.DEVELOPER] * 3


async def test_choosing_the_plan_in_force_takes_another_choice_back(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    for plan in (Plan.BUSINESS, Plan.BUSINESS, Plan.DEVELOPER):
        await choose(payments, owner, plan)
    assert await chosen_months(payments) == []
    await choose(payments, owner, Plan.BUSINESS)
    payments.cloud.clock.at = datetime(2026, 4, 15, tzinfo=UTC)
    for plan in (Plan.DEVELOPER, Plan.BUSINESS):
        await choose(payments, owner, plan)
    assert await chosen_months(payments) == ["2026-04"]


async def test_choices_at_once_are_one(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    await asyncio.gather(*(choose(payments, owner, Plan.BUSINESS) for _ in range(4)))
    assert await chosen_months(payments) == ["2026-04"]


async def test_each_month_is_invoiced_by_its_own_plan(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    await choose(payments, owner, Plan.BUSINESS)
    for month in (MONTH, "2026-04"):
        await payments.use(owner.account_id, 3 * MILLION, month=month)
    payments.cloud.clock.at = after(MONTH)
    await payments.closing.snapshot(owner.account_id, MONTH)
    # Counted late, it costs what it would have cost in its month.
    await payments.use(owner.account_id, MILLION)
    payments.cloud.clock.at = after("2026-04")
    await payments.closing.snapshot(owner.account_id, "2026-04")
    march, april = await payments.invoices(owner.account_id)
    assert (march.plan, march.total_cents) == (Plan.DEVELOPER, 16_500)
    assert (april.plan, april.total_cents) == (Plan.BUSINESS, 58_000)
    lines = await payments.lines(april.id)
    assert [(line.text, line.quantity, line.amount_cents) for line in lines] == [
        ("Actions included", 2_500_000, 0),
        ("Actions", 500_000, 2_500),
        ("Business plan", None, 50_000),
        ("Actions of March 2026, counted after its invoice", MILLION, 5_500),
    ]


async def test_each_month_is_shown_by_its_own_plan(payments: Payments) -> None:
    owner = await payments.cloud.owner()
    await choose(payments, owner, Plan.BUSINESS)
    for month in (MONTH, "2026-04"):
        await payments.use(owner.account_id, 3 * MILLION, month=month)
    async with payments.database.reading() as session:
        march = await month_to_date(session, owner.account_id, LAST_SECOND_OF_MARCH)
        april = await month_to_date(session, owner.account_id, datetime(2026, 4, 9, tzinfo=UTC))
        series = await usage_series(
            session, owner.account_id, MARCH.from_hour, APRIL.to_hour, GroupBy.ACTION
        )
    assert (march.total, april.total) == (Decimal("165.00"), Decimal("525.00"))
    assert [point.cost for point in series] == [Decimal("150.00"), Decimal("25.00")]


@pytest.mark.parametrize("role", AccountRole)
async def test_who_has_to_do_with_money_chooses_and_each_try_is_recorded(
    payments: Payments, role: AccountRole
) -> None:
    owner = await payments.cloud.owner()
    member = await payments.cloud.member(owner, role)
    is_allowed = role in (AccountRole.OWNER, AccountRole.FINANCE_ADMIN)
    if is_allowed:
        await choose(payments, member, Plan.BUSINESS)
    else:
        with pytest.raises(PermissionDenied):
            await choose(payments, member, Plan.BUSINESS)
    async with payments.database.reading() as session:
        asked = sa.select(AuditRecord).where(AuditRecord.actor_id == member.id)
        (record,) = (await session.scalars(asked)).all()
    assert (record.action, record.result) == (
        "billing.choose_plan",
        "accepted" if is_allowed else "denied",
    )
    assert (await chosen_months(payments) != []) is is_allowed
    assert record.target_ids == [owner.account_id, *(["business"] if is_allowed else [])]
