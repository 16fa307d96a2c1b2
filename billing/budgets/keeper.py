"""Looks at all budgets again and again: tells of thresholds, stops starts and lifts that.

What is decided of a budget is one unit of work, alerts included: after a crash it was all done,
or nothing was, and the next look does it.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.budgets.alerts import Alert, Alerts
from billing.budgets.spending import amount_of, consequences, standings
from billing.budgets.tables import Budget, ReachedThreshold
from billing.times import Period, hour_of, month_of
from tenancy import Database, RestrictionCause
from tenancy.accounts import locked_account
from tenancy.errors import NotFound
from tenancy.randomness import Now
from tenancy.restrictions import Restrictions

BUDGETS_PER_READ = 500


class BudgetKeeper:
    """Several may work on one database."""

    def __init__(
        self, *, database: Database, restrictions: Restrictions, alerts: Alerts, now: Now
    ) -> None:
        self._database = database
        self._restrictions = restrictions
        self._alerts = alerts
        self._now = now

    async def look(self) -> int:
        """Does what is due; returns for how many budgets something was."""
        now = self._now()
        after, changed = "", 0
        while True:
            async with self._database.reading() as session:
                found = await session.scalars(
                    sa.select(Budget)
                    .where(Budget.id > after)
                    .order_by(Budget.id)
                    .limit(BUDGETS_PER_READ)
                )
                page = list(found)
                due = await _due(session, page, month_of(hour_of(now)))
            for budget in due:
                await self._act(budget, now)
            changed += len(due)
            if len(page) < BUDGETS_PER_READ:
                return changed
            after = page[-1].id

    async def _act(self, seen: Budget, now: datetime) -> None:
        async with self._database.transaction() as session:
            await locked_account(session, seen.account_id)
            budget = await session.get(Budget, seen.id)
            if budget is not None:
                await self.apply(session, budget, now)

    async def apply(self, session: AsyncSession, budget: Budget, now: datetime) -> None:
        """Makes the world as the budget wants it. The caller has locked the account."""
        await session.flush()
        period = month_of(hour_of(now))
        standing = (await standings(session, [budget], period))[budget.id]
        change = consequences(budget, standing, period)
        if change.is_stop_new:
            await self._stop(session, budget, change.stop_why, now)
        for percent in change.outdated:
            await session.delete(
                await session.get_one(ReachedThreshold, (budget.id, period.from_hour, percent))
            )
        for percent in change.reached:
            session.add(
                ReachedThreshold(
                    budget_id=budget.id,
                    from_hour=period.from_hour,
                    percent=percent,
                    reached_at=now,
                )
            )
            is_stopped = change.stop_why is not None
            alert = Alert(budget, period, percent, standing.spent, amount_of(budget), is_stopped)
            await self._alerts.tell(session, alert)

    async def _stop(
        self, session: AsyncSession, budget: Budget, why: str | None, now: datetime
    ) -> None:
        if why is None:
            await self.lift(session, budget)
            return
        try:
            await self._restrictions.restrict_starts(
                session,
                account_id=budget.account_id,
                namespace_id=budget.namespace_id,
                cause=RestrictionCause.BUDGET,
                at=now,
                why=why,
            )
        except NotFound:
            # Nothing can be started in a namespace that is gone.
            return

    async def lift(self, session: AsyncSession, budget: Budget) -> None:
        """For a budget that stops starts no longer, or is about to go."""
        await self._restrictions.lift_restriction(
            session,
            account_id=budget.account_id,
            namespace_id=budget.namespace_id,
            cause=RestrictionCause.BUDGET,
        )


async def _due(session: AsyncSession, budgets: list[Budget], period: Period) -> list[Budget]:
    if not budgets:
        return []
    found = await standings(session, budgets, period)
    return [it for it in budgets if not consequences(it, found[it.id], period).is_nothing]
