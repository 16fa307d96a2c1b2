"""What budgets have spent in a month, and what follows from it. Deciding is pure.

The figures are those of the usage page: an account has spent the total of its lines, the plan's
fee included; a namespace has spent its share of what the Actions cost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.budgets.tables import Budget, ReachedThreshold
from billing.plans import plans_of
from billing.prices import CURRENCY, PriceList, price_list
from billing.rating import CENT, rate, shares
from billing.tables import UsageMonth
from billing.times import Period, hour_start, month_title
from tenancy import Namespace, Restriction, RestrictionCause
from tenancy.restrictions import restrictions_of

WHOLE_PERCENT = 100

Counts = Mapping[str, int]
"""Actions by namespace id, of one account in one month."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget in a month: what is spent, the thresholds that were told, and why starts are
    stopped by it, if they are.
    """

    spent: Decimal
    told: frozenset[int] = frozenset()
    stopped_why: str | None = None


@dataclass(frozen=True, slots=True)
class Consequences:
    """What must change for a budget. A threshold is `outdated` that a raise has put out of reach:
    it is told again when the spending comes there.
    """

    reached: tuple[int, ...]
    outdated: tuple[int, ...]
    stop_why: str | None
    is_stop_new: bool

    @property
    def is_nothing(self) -> bool:
        return not (self.reached or self.outdated or self.is_stop_new)


def amount_of(budget: Budget) -> Decimal:
    return budget.amount_cents * CENT


def amount_text(budget: Budget) -> str:
    return f"{amount_of(budget):,.2f} {CURRENCY}"


def consequences(budget: Budget, standing: Standing, period: Period) -> Consequences:
    amount = amount_of(budget)
    # Whoever has starts stopped is told of it, whichever thresholds were asked for.
    thresholds = {*budget.thresholds, *((WHOLE_PERCENT,) if budget.stops_starts else ())}
    reached = {it for it in thresholds if standing.spent * WHOLE_PERCENT >= amount * it}
    passed = {it for it in standing.told if standing.spent * WHOLE_PERCENT >= amount * it}
    is_used_up = budget.stops_starts and standing.spent >= amount
    stop_why = _why(budget, period) if is_used_up else None
    return Consequences(
        reached=tuple(sorted(reached - standing.told)),
        outdated=tuple(sorted(standing.told - passed)),
        stop_why=stop_why,
        is_stop_new=stop_why != standing.stopped_why,
    )


def _why(budget: Budget, period: Period) -> str:
    month, end = month_title(period.from_hour), hour_start(period.to_hour)
    return (
        f"budget {budget.name!r} of {amount_text(budget)} for {month} is used up; raise it, take"
        f" its cap off, or wait until {end:%Y-%m-%d} 00:00 UTC"
    )


async def standings(
    session: AsyncSession, budgets: Collection[Budget], period: Period
) -> dict[str, Standing]:
    """By budget id; a few rows are read for each account, however much it used."""
    account_ids = {budget.account_id for budget in budgets}
    counts = await _counts(session, account_ids, period)
    day = hour_start(period.from_hour).date()
    prices = {
        account_id: price_list(plan, day)
        for account_id, plan in (await plans_of(session, account_ids, period)).items()
    }
    told = await _told(session, [budget.id for budget in budgets], period)
    stops = {
        it.target_id: it
        for it in await restrictions_of(session, account_ids)
        if it.cause is RestrictionCause.BUDGET
    }
    return {
        budget.id: Standing(
            _spent(budget, counts.get(budget.account_id, {}), prices[budget.account_id]),
            frozenset(told.get(budget.id, ())),
            _why_of(stops.get(budget.target_id)),
        )
        for budget in budgets
    }


def _spent(budget: Budget, counts: Counts, prices: PriceList) -> Decimal:
    if budget.namespace_id is None:
        return sum((line.amount for line in rate(sum(counts.values()), prices)), Decimal(0))
    return shares(counts, prices).get(budget.namespace_id, Decimal(0))


def _why_of(restriction: Restriction | None) -> str | None:
    return None if restriction is None else restriction.why


async def _counts(
    session: AsyncSession, account_ids: Collection[str], period: Period
) -> dict[str, dict[str, int]]:
    rows = await session.execute(
        sa.select(Namespace.account_id, UsageMonth.namespace_id, UsageMonth.count)
        .join(Namespace, Namespace.id == UsageMonth.namespace_id)
        .where(UsageMonth.from_hour == period.from_hour, Namespace.account_id.in_(account_ids))
    )
    counts: dict[str, dict[str, int]] = {}
    for account_id, namespace_id, count in rows:
        counts.setdefault(account_id, {})[namespace_id] = int(count)
    return counts


async def _told(
    session: AsyncSession, budget_ids: Collection[str], period: Period
) -> dict[str, set[int]]:
    rows = await session.scalars(
        sa.select(ReachedThreshold).where(
            ReachedThreshold.from_hour == period.from_hour,
            ReachedThreshold.budget_id.in_(budget_ids),
        )
    )
    told: dict[str, set[int]] = {}
    for row in rows:
        told.setdefault(row.budget_id, set()).add(row.percent)
    return told
