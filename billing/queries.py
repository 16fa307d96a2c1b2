"""What the console and the API ask of usage. All read; the caller opens the unit of work."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.plans import plan_of
from billing.prices import CURRENCY, PriceList, price_list
from billing.rating import Line, rate, shares
from billing.tables import Usage
from billing.times import HOURS_PER_DAY, Period, hour_of, hour_start, month_of

SERIES_KEYS_MAX = 20
"""How many keys of a series are told apart: as many as a chart can show."""

SHARES_MAX = 100
"""How many namespaces and workflow types of a month are told apart: as many as anyone reads."""

HourCounts = Mapping[tuple[int, str | None], int]
Position = tuple[int, str, str, str]
"""Where a row of usage stands in its namespace: hour, action, workflow type, task queue."""


class GroupBy(StrEnum):
    """The columns of usage that a series can be drawn by."""

    NAMESPACE = "namespace_id"
    ACTION = "action"
    WORKFLOW_TYPE = "workflow_type"
    TASK_QUEUE = "task_queue"


@dataclass(frozen=True)
class Share:
    """What one namespace, action, workflow type or day (ISO date) counted and cost.

    The key is None for all together that are not among the largest.
    """

    key: str | None
    actions: int
    cost: Decimal


@dataclass(frozen=True)
class Cell:
    """What one Action counted and cost in one namespace, or in all that are not told apart."""

    namespace_id: str | None
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

    @property
    def position(self) -> Position:
        return self.hour, self.action, self.workflow_type, self.task_queue


async def month_to_date(session: AsyncSession, account_id: str, now: datetime) -> MonthToDate:
    """The account's calendar month up to and including the hour of `now`. Raises NoPriceList.

    The SHARES_MAX namespaces and workflow types with the most Actions are told apart.
    """
    hour = hour_of(now)
    period = month_of(hour)
    prices = await _prices(session, account_id, period)
    hours = _Hours(session, account_id, period.from_hour, hour + 1)
    # A unit of work that reads sees one moment, so these agree while a collector writes.
    largest = await hours.largest(Usage.namespace_id, SHARES_MAX)
    cells = await hours.by(_one_of(Usage.namespace_id, largest), Usage.action)
    types = await hours.largest(Usage.workflow_type, SHARES_MAX)
    days = await hours.by(Usage.hour // HOURS_PER_DAY)
    month = _Month(account_id, period, now, cells, types, {day: days[day,] for (day,) in days})
    # Thousands of shares in Decimal: too long to keep the other calls waiting.
    return await asyncio.to_thread(_rated, month, prices)


async def usage_series(
    session: AsyncSession,
    account_id: str,
    from_hour: int,
    to_hour: int,
    group_by: GroupBy,
) -> tuple[SeriesPoint, ...]:
    """Hours from `from_hour` to before `to_hour` that have usage, ascending, with their keys.

    The keys are the SERIES_KEYS_MAX with the most Actions, and None for all others together.
    Whole months are read, because what an hour costs depends on its month. Raises NoPriceList.
    """
    key = Usage.__table__.c[group_by]
    asked = _Hours(session, account_id, from_hour, to_hour)
    keys = await asked.largest(key, SERIES_KEYS_MAX)
    months: list[tuple[HourCounts, PriceList]] = []
    first = from_hour
    while keys and first < to_hour:
        period = month_of(first)
        prices = await _prices(session, account_id, period)
        whole = _Hours(session, account_id, period.from_hour, period.to_hour)
        months.append((await whole.by(Usage.hour, _one_of(key, keys)), prices))
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
    *,
    after: Position | None = None,
    limit: int | None = None,
) -> tuple[UsageRow, ...]:
    """Usage from `from_hour` to before `to_hour`, None for no bound: what a recount compares.

    By position; those behind `after`, if it is given.
    """
    columns = (Usage.hour, Usage.action, Usage.workflow_type, Usage.task_queue)
    asked = sa.select(*columns, Usage.count).where(Usage.namespace_id == namespace_id)
    if from_hour is not None:
        asked = asked.where(Usage.hour >= from_hour)
    if to_hour is not None:
        asked = asked.where(Usage.hour < to_hour)
    if after is not None:
        given = (
            sa.literal(value, column.type) for value, column in zip(after, columns, strict=True)
        )
        asked = asked.where(sa.tuple_(*columns) > sa.tuple_(*given))
    rows = await session.execute(asked.order_by(*columns).limit(limit))
    return tuple(
        UsageRow(action, workflow_type, task_queue, hour, count)
        for hour, action, workflow_type, task_queue, count in rows
    )


class _Hours:
    """The usage of an account from one hour to before another, summed up in the database."""

    def __init__(
        self, session: AsyncSession, account_id: str, from_hour: int, to_hour: int
    ) -> None:
        self._session = session
        self._where = (
            Usage.account_id == account_id,
            Usage.hour >= from_hour,
            Usage.hour < to_hour,
        )

    async def largest(self, key: sa.SQLColumnExpression[str], limit: int) -> dict[str, int]:
        """The keys with the most Actions, and how many those are; the largest first."""
        total = sa.func.sum(Usage.count)
        rows = await self._session.execute(
            sa.select(key, total)
            .where(*self._where)
            .group_by(key)
            .order_by(total.desc(), key)
            .limit(limit)
        )
        return {name: int(count) for name, count in rows}

    async def by(self, *columns: sa.SQLColumnExpression[Any]) -> dict[Any, int]:
        """Actions by the columns' values together."""
        # PostgreSQL takes two expressions with parameters for two, so they are named first.
        named: list[sa.Label[Any]] = [
            column.label(f"key_{place}") for place, column in enumerate(columns)
        ]
        rows = sa.select(*named, Usage.count.label("actions")).where(*self._where).subquery()
        keys = [rows.c[column.name] for column in named]
        sums = sa.select(*keys, sa.func.sum(rows.c.actions)).group_by(*keys)
        return {tuple(key): int(count) for *key, count in await self._session.execute(sums)}


def _one_of(
    column: sa.SQLColumnExpression[str], keys: Collection[str]
) -> sa.SQLColumnExpression[str | None]:
    """The column where it is one of the keys, NULL for all others."""
    return sa.case((column.in_(keys), column))


class _Month(NamedTuple):
    """What is counted in a month, before it is rated. `types` are the largest alone."""

    account_id: str
    period: Period
    as_of: datetime
    cells: Mapping[tuple[str | None, str], int]
    types: Mapping[str, int]
    days: Mapping[int, int]


def _rated(month: _Month, prices: PriceList) -> MonthToDate:
    costs = shares(month.cells, prices)
    ordered = sorted(month.cells, key=lambda at: (at[0] is None, at))
    cells = tuple(Cell(*at, month.cells[at], costs[at]) for at in ordered)
    actions = sum(month.cells.values())
    lines = rate(actions, prices)
    types: dict[str | None, int] = {key: count for key, count in month.types.items()}
    if others := actions - sum(types.values()):
        types[None] = others
    days: dict[str | None, int] = {_date(day): month.days[day] for day in sorted(month.days)}
    day_costs = shares(days, prices)
    return MonthToDate(
        account_id=month.account_id,
        period_start=hour_start(month.period.from_hour),
        as_of=month.as_of,
        currency=CURRENCY,
        actions=actions,
        lines=lines,
        total=sum((line.amount for line in lines), Decimal(0)),
        cells=cells,
        by_namespace=_sums((cell.namespace_id, cell) for cell in cells),
        by_action=_sums((cell.action, cell) for cell in cells),
        by_workflow_type=_largest_first(types, shares(types, prices)),
        by_day=tuple(Share(day, count, day_costs[day]) for day, count in days.items()),
    )


def _date(day: int) -> str:
    return hour_start(day * HOURS_PER_DAY).date().isoformat()


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


async def _prices(session: AsyncSession, account_id: str, period: Period) -> PriceList:
    plan = await plan_of(session, account_id, period)
    return price_list(plan, hour_start(period.from_hour).date())


def _sums(cells: Iterable[tuple[str | None, Cell]]) -> tuple[Share, ...]:
    actions: Counter[str | None] = Counter()
    costs: dict[str | None, Decimal] = {}
    for key, cell in cells:
        actions[key] += cell.actions
        costs[key] = costs.get(key, Decimal(0)) + cell.cost
    return _largest_first(actions, costs)


def _largest_first(
    actions: Mapping[str | None, int], costs: Mapping[str | None, Decimal]
) -> tuple[Share, ...]:
    """All others together are the last, however many they are."""
    ordered = sorted(actions, key=lambda key: (key is None, -actions[key], key))
    return tuple(Share(key, actions[key], costs[key]) for key in ordered)
