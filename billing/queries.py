"""What the console and the API ask of usage. All read; the caller opens the unit of work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.prices import CURRENCY, Plan, PriceList, price_list
from billing.rating import Line, rate, shares
from billing.tables import Usage
from billing.times import HOURS_PER_DAY, Period, hour_of, hour_start, month_of

SERIES_KEYS_MAX = 20
"""How many keys of a series are told apart: as many as a chart can show."""

HourCounts = dict[tuple[int, str | None], int]


class GroupBy(StrEnum):
    """The columns of usage that a series can be drawn by."""

    NAMESPACE = "namespace_id"
    ACTION = "action"
    WORKFLOW_TYPE = "workflow_type"
    TASK_QUEUE = "task_queue"


@dataclass(frozen=True)
class Share:
    """What one namespace, action, workflow type or day (ISO date) counted and cost."""

    key: str
    actions: int
    cost: Decimal


@dataclass(frozen=True)
class Cell:
    """What one Action counted and cost in one namespace."""

    namespace_id: str
    action: str
    actions: int
    cost: Decimal


@dataclass(frozen=True)
class MonthToDate:
    """The period so far. Each tuple of shares adds up to `actions` and to the same cost, and so
    do the cells, which are what the shares of a namespace or an Action are the sums of.

    `lines` are those of the invoice if the period ended now, and `total` is their sum.
    """

    account_id: str
    period_start: datetime
    as_of: datetime
    currency: str
    actions: int
    lines: tuple[Line, ...]
    total: Decimal
    cells: tuple[Cell, ...]
    by_namespace: tuple[Share, ...]
    by_action: tuple[Share, ...]
    by_workflow_type: tuple[Share, ...]
    by_day: tuple[Share, ...]


@dataclass(frozen=True)
class SeriesPoint:
    """One hour of one key. `cost` is its share of what its month has cost so far."""

    hour: int
    key: str | None
    actions: int
    cost: Decimal


@dataclass(frozen=True)
class UsageRow:
    """Actions of one namespace as they were counted, without a price."""

    action: str
    workflow_type: str
    task_queue: str
    hour: int
    count: int


async def month_to_date(
    session: AsyncSession, account_id: str, now: datetime, plan: Plan = Plan.DEVELOPER
) -> MonthToDate:
    """The account's calendar month up to and including the hour of `now`. Raises NoPriceList."""
    hour = hour_of(now)
    period = month_of(hour)
    prices = _prices(plan, period)
    day = Usage.hour // HOURS_PER_DAY
    columns = (Usage.namespace_id, Usage.action, Usage.workflow_type, day)
    # One statement, so that the groupings below agree while a collector writes.
    rows = await session.execute(
        sa.select(*columns, sa.func.sum(Usage.count))
        .where(Usage.account_id == account_id, Usage.hour.between(period.from_hour, hour))
        .group_by(*columns)
    )
    counts: Counter[tuple[str, str]] = Counter()
    types: Counter[str] = Counter()
    days: Counter[str] = Counter()
    for namespace_id, action, workflow_type, day_number, count in rows:
        counts[namespace_id, action] += int(count)
        types[workflow_type] += int(count)
        days[hour_start(day_number * HOURS_PER_DAY).date().isoformat()] += int(count)
    costs = shares(counts, prices)
    cells = tuple(Cell(*key, counts[key], costs[key]) for key in sorted(counts))
    lines = rate(counts.total(), prices)
    return MonthToDate(
        account_id=account_id,
        period_start=hour_start(period.from_hour),
        as_of=now,
        currency=CURRENCY,
        actions=counts.total(),
        lines=lines,
        total=sum((line.amount for line in lines), Decimal(0)),
        cells=cells,
        by_namespace=_sums((cell.namespace_id, cell) for cell in cells),
        by_action=_sums((cell.action, cell) for cell in cells),
        by_workflow_type=_dearest_first(types, shares(types, prices)),
        by_day=tuple(sorted(_dearest_first(days, shares(days, prices)), key=lambda it: it.key)),
    )


async def usage_series(
    session: AsyncSession,
    account_id: str,
    from_hour: int,
    to_hour: int,
    group_by: GroupBy,
    *,
    plan: Plan = Plan.DEVELOPER,
) -> tuple[SeriesPoint, ...]:
    """Hours from `from_hour` to before `to_hour` that have usage, ascending, with their keys.

    The keys are the SERIES_KEYS_MAX with the most Actions, and None for all others together.
    Whole months are read, because what an hour costs depends on its month. Raises NoPriceList.
    """
    keys = await _largest_keys(session, account_id, from_hour, to_hour, group_by)
    months: list[tuple[HourCounts, PriceList]] = []
    first = from_hour
    while keys and first < to_hour:
        period = month_of(first)
        prices = _prices(plan, period)
        months.append((await _by_hour(session, account_id, period, group_by, keys), prices))
        first = period.to_hour
    # Up to two months of hours times keys: too long to keep the other calls waiting.
    return await asyncio.to_thread(_points, months, from_hour, to_hour)


async def actions_by_day(
    session: AsyncSession, account_id: str, from_hour: int, to_hour: int
) -> dict[tuple[int, str], int]:
    """Actions by day since the epoch and namespace id, from `from_hour` to before `to_hour`."""
    day = (Usage.hour // HOURS_PER_DAY).label("day")
    rows = await session.execute(
        sa.select(day, Usage.namespace_id, sa.func.sum(Usage.count))
        .where(Usage.account_id == account_id, Usage.hour >= from_hour, Usage.hour < to_hour)
        .group_by(day, Usage.namespace_id)
        .order_by(day, Usage.namespace_id)
    )
    return {(number, namespace_id): int(count) for number, namespace_id, count in rows}


async def namespace_usage(
    session: AsyncSession,
    namespace_id: str,
    from_hour: int | None = None,
    to_hour: int | None = None,
) -> tuple[UsageRow, ...]:
    """Usage from `from_hour` to before `to_hour`, None for no bound: what a recount compares."""
    statement = sa.select(
        Usage.action, Usage.workflow_type, Usage.task_queue, Usage.hour, Usage.count
    ).where(Usage.namespace_id == namespace_id)
    if from_hour is not None:
        statement = statement.where(Usage.hour >= from_hour)
    if to_hour is not None:
        statement = statement.where(Usage.hour < to_hour)
    rows = await session.execute(
        statement.order_by(Usage.hour, Usage.action, Usage.workflow_type, Usage.task_queue)
    )
    return tuple(UsageRow(*row) for row in rows)


async def _largest_keys(
    session: AsyncSession, account_id: str, from_hour: int, to_hour: int, group_by: GroupBy
) -> list[str]:
    key = Usage.__table__.c[group_by]
    found = await session.scalars(
        sa.select(key)
        .where(Usage.account_id == account_id, Usage.hour >= from_hour, Usage.hour < to_hour)
        .group_by(key)
        .order_by(sa.func.sum(Usage.count).desc(), key)
        .limit(SERIES_KEYS_MAX)
    )
    return list(found)


async def _by_hour(
    session: AsyncSession, account_id: str, period: Period, group_by: GroupBy, keys: list[str]
) -> HourCounts:
    key = Usage.__table__.c[group_by]
    hours = (
        sa.select(Usage.hour, sa.case((key.in_(keys), key)).label("key"), Usage.count)
        .where(
            Usage.account_id == account_id,
            Usage.hour >= period.from_hour,
            Usage.hour < period.to_hour,
        )
        .subquery()
    )
    columns = (hours.c.hour, hours.c.key)
    rows = await session.execute(sa.select(*columns, sa.func.sum(hours.c.count)).group_by(*columns))
    return {(hour, key): int(count) for hour, key, count in rows}


def _points(
    months: Iterable[tuple[HourCounts, PriceList]], from_hour: int, to_hour: int
) -> tuple[SeriesPoint, ...]:
    points: list[SeriesPoint] = []
    for counts, prices in months:
        costs = shares(counts, prices)
        asked = (at for at in counts if from_hour <= at[0] < to_hour)
        ordered = sorted(asked, key=lambda at: (at[0], at[1] is None, at[1]))
        points.extend(SeriesPoint(*at, counts[at], costs[at]) for at in ordered)
    return tuple(points)


def _prices(plan: Plan, period: Period) -> PriceList:
    return price_list(plan, hour_start(period.from_hour).date())


def _sums(cells: Iterable[tuple[str, Cell]]) -> tuple[Share, ...]:
    actions: Counter[str] = Counter()
    costs: dict[str, Decimal] = {}
    for key, cell in cells:
        actions[key] += cell.actions
        costs[key] = costs.get(key, Decimal(0)) + cell.cost
    return _dearest_first(actions, costs)


def _dearest_first(actions: Mapping[str, int], costs: Mapping[str, Decimal]) -> tuple[Share, ...]:
    ordered = sorted(actions, key=lambda key: (-actions[key], key))
    return tuple(Share(key, actions[key], costs[key]) for key in ordered)
