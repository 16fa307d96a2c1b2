"""Which plan an account has in which month.

What is chosen is in force from the next month on. The plan of a month that has begun stays as it
is, so a month is invoiced by the plan that its cost was shown by.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.prices import Plan
from billing.tables import AccountPlan
from billing.times import Period, hour_of, month_of
from tenancy import Access, Principal
from tenancy.accounts import locked_account
from tenancy.audit import AuditLog
from tenancy.randomness import Now
from tenancy.roles import require

FIRST_PLAN = Plan.DEVELOPER
"""Of an account that has chosen none."""


async def plan_of(session: AsyncSession, account_id: str, period: Period) -> Plan:
    """The plan that the month is rated by."""
    return (await plans_of(session, [account_id], period))[account_id]


async def plans_of(
    session: AsyncSession, account_ids: Collection[str], period: Period
) -> dict[str, Plan]:
    """The plans of several accounts, by their ids."""
    chosen = await session.execute(
        sa.select(AccountPlan.account_id, AccountPlan.plan)
        .where(AccountPlan.account_id.in_(account_ids), AccountPlan.from_hour <= period.from_hour)
        .order_by(AccountPlan.from_hour)
    )
    # The newest choice of an account comes last and stays.
    return dict.fromkeys(account_ids, FIRST_PLAN) | {
        account_id: plan for account_id, plan in chosen
    }


async def choose_plan(
    session: AsyncSession, actor: Principal, plan: Plan, *, audit: AuditLog, now: Now
) -> None:
    """From the next month on. Whoever chooses the plan in force takes back another choice."""
    action = "billing.choose_plan"
    require(actor, Access.FINANCE, action, target=actor.account_id)
    await locked_account(session, actor.account_id)
    # Behind the lock: the wait for it may have lasted into the next month.
    period = month_of(hour_of(now()))
    await session.execute(
        sa.delete(AccountPlan).where(
            AccountPlan.account_id == actor.account_id, AccountPlan.from_hour >= period.to_hour
        )
    )
    if plan is not await plan_of(session, actor.account_id, period):
        chosen = AccountPlan(account_id=actor.account_id, from_hour=period.to_hour, plan=plan)
        session.add(chosen)
    await audit.record(session, actor, action, actor.account_id, plan)
