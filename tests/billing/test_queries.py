"""What people are shown of their usage adds up, and is theirs alone."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from billing import queries, rating
from billing.errors import NoPriceList
from billing.prices import MILLION, Plan, price_list
from billing.queries import (
    SERIES_KEYS_MAX,
    SHARES_MAX,
    GroupBy,
    Share,
    UsageRow,
    actions_by_day,
    month_to_date,
    namespace_usage,
    usage_series,
)
from billing.queries import Cell as MonthCell
from billing.rating import cost_of, rate
from billing.tables import UsageMonth
from billing.times import hour_of, month_of
from billing.usage import Collector
from engine.metering.facts import Fact, FactKind
from tenancy import Database
from tests.billing.conftest import Cell, account_of, put_plan

NOW = datetime(2026, 3, 10, 12, 30, tzinfo=UTC)
NOW_HOUR = hour_of(NOW)
MONTH_HOUR = hour_of(datetime(2026, 3, 1, tzinfo=UTC))
DOLLAR_PER_ACTION = Decimal(50) / MILLION


def started(hour: int, count: int = 1, namespace_id: str = "acme-1") -> Fact:
    return Fact(namespace_id, FactKind.WORKFLOW_STARTED, "Order", "orders", hour, count)


def timer(hour: int, count: int = 1, namespace_id: str = "acme-2") -> Fact:
    return Fact(namespace_id, FactKind.TIMER_STARTED, "Ship", "ships", hour, count)


async def collect(database: Database, cell: Cell, facts: Iterable[Fact]) -> None:
    cell.commit(*facts)
    await Collector(database, cell, account_of).run_once()


async def test_the_month_is_shown_by_namespace_action_type_and_day(
    database: Database, cell: Cell
) -> None:
    await collect(database, cell, [started(MONTH_HOUR, 2), started(NOW_HOUR), timer(NOW_HOUR, 3)])
    async with database.reading() as session:
        month = await month_to_date(session, "acme", NOW)
    cost = {count: count * DOLLAR_PER_ACTION for count in (1, 2, 3, 4)}
    assert month.actions == 6
    assert month.by_namespace == (Share("acme-1", 3, cost[3]), Share("acme-2", 3, cost[3]))
    assert {share.key: share.actions for share in month.by_action} == {
        "start_workflow": 3,
        "start_timer": 3,
    }
    assert {share.key: share.actions for share in month.by_workflow_type} == {"Order": 3, "Ship": 3}
    assert month.by_day == (Share("2026-03-01", 2, cost[2]), Share("2026-03-10", 4, cost[4]))


async def test_a_row_and_a_column_of_the_month_are_the_sums_of_their_cells(
    database: Database, cell: Cell
) -> None:
    """In cost too, to the last step, where tiers make the price of an Action a fraction."""
    facts = [
        started(MONTH_HOUR, 6 * MILLION + 1),
        started(NOW_HOUR, 7, "acme-2"),
        timer(NOW_HOUR, 5, "acme-1"),
        timer(NOW_HOUR, MILLION),
    ]
    await collect(database, cell, facts)
    await put_plan(database, "acme", Plan.BUSINESS, 0)
    async with database.reading() as session:
        month = await month_to_date(session, "acme", NOW)
    assert [(each.namespace_id, each.action, each.actions) for each in month.cells] == [
        ("acme-1", "start_timer", 5),
        ("acme-1", "start_workflow", 6 * MILLION + 1),
        ("acme-2", "start_timer", MILLION),
        ("acme-2", "start_workflow", 7),
    ]
    assert sum(each.cost for each in month.cells) == cost_of(
        month.actions, price_list(Plan.BUSINESS, NOW.date())
    )
    for share in month.by_namespace:
        row = [each for each in month.cells if each.namespace_id == share.key]
        assert share == Share(share.key, sum(c.actions for c in row), _sum(c.cost for c in row))
    for share in month.by_action:
        column = [each for each in month.cells if each.action == share.key]
        assert share == Share(
            share.key, sum(c.actions for c in column), _sum(c.cost for c in column)
        )


def _sum(costs: Iterable[Decimal]) -> Decimal:
    return sum(costs, Decimal(0))


async def test_the_month_begins_with_its_first_hour_and_ends_with_the_present_one(
    database: Database, cell: Cell
) -> None:
    hours = (MONTH_HOUR - 1, MONTH_HOUR, NOW_HOUR, NOW_HOUR + 1)
    await collect(database, cell, [started(hour, 10**place) for place, hour in enumerate(hours)])
    async with database.reading() as session:
        month = await month_to_date(session, "acme", NOW)
    assert month.actions == 110
    assert month.period_start == datetime(2026, 3, 1, tzinfo=UTC)
    assert month.as_of == NOW


async def test_the_lines_are_those_of_the_invoice_and_add_up_to_the_total(
    database: Database, cell: Cell
) -> None:
    actions = 9 * MILLION
    await collect(database, cell, [started(NOW_HOUR, actions)])
    prices = price_list(Plan.BUSINESS, NOW.date())
    await put_plan(database, "acme", Plan.BUSINESS, 0)
    async with database.reading() as session:
        month = await month_to_date(session, "acme", NOW)
    assert month.lines == rate(actions, prices)
    assert month.total == cost_of(actions, prices) + prices.fee_minimum


async def test_an_account_sees_neither_foreign_nor_unassigned_usage(
    database: Database, cell: Cell
) -> None:
    facts = [started(NOW_HOUR, 5, "other-1"), started(NOW_HOUR, 7, "nobody-1"), started(NOW_HOUR)]
    await collect(database, cell, facts)
    async with database.reading() as session:
        assert (await month_to_date(session, "acme", NOW)).actions == 1
        for group_by in GroupBy:
            series = usage_series(session, "acme", NOW_HOUR, NOW_HOUR + 1, group_by)
            assert [point.actions for point in await series] == [1]
        assert [row.count for row in await namespace_usage(session, "other-1")] == [5]


async def test_a_month_without_usage_costs_the_plan_alone(database: Database) -> None:
    async with database.reading() as session:
        month = await month_to_date(session, "acme", NOW)
    assert (month.actions, month.total, month.by_day) == (0, Decimal(0), ())


async def test_a_series_has_each_hour_with_usage_once_for_each_key(
    database: Database, cell: Cell
) -> None:
    hours = (NOW_HOUR - 2, NOW_HOUR, NOW_HOUR + 1)
    await collect(database, cell, [started(hour) for hour in hours] + [timer(NOW_HOUR, 2)])
    async with database.reading() as session:
        series = await usage_series(session, "acme", NOW_HOUR - 2, NOW_HOUR + 1, GroupBy.ACTION)
    assert [(point.hour, point.key, point.actions) for point in series] == [
        (NOW_HOUR - 2, "start_workflow", 1),
        (NOW_HOUR, "start_timer", 2),
        (NOW_HOUR, "start_workflow", 1),
    ]


async def test_the_costs_of_a_series_over_whole_months_are_what_the_months_cost(
    database: Database, cell: Cell
) -> None:
    first, second = 3 * MILLION, 20 * MILLION
    await collect(
        database,
        cell,
        [started(MONTH_HOUR - 1, first), started(MONTH_HOUR, second), timer(NOW_HOUR, MILLION)],
    )
    prices = price_list(Plan.BUSINESS, NOW.date())
    await put_plan(database, "acme", Plan.BUSINESS, 0)
    async with database.reading() as session:
        series = await usage_series(
            session, "acme", MONTH_HOUR - 1, NOW_HOUR + 1, GroupBy.NAMESPACE
        )
    assert series[0].cost == cost_of(first, prices)
    assert series[1].cost + series[2].cost == cost_of(second + MILLION, prices)


@pytest.mark.parametrize("types", [SERIES_KEYS_MAX - 1, SERIES_KEYS_MAX, SERIES_KEYS_MAX + 1])
async def test_a_series_tells_the_largest_keys_apart_and_all_others_as_one(
    database: Database, cell: Cell, types: int
) -> None:
    facts = [
        Fact("acme-1", FactKind.WORKFLOW_STARTED, f"Type{number}", "orders", hour, number + 1)
        for number in range(types)
        for hour in (MONTH_HOUR, NOW_HOUR)
    ]
    small = Fact("acme-1", FactKind.WORKFLOW_STARTED, "LargeBefore", "orders", MONTH_HOUR, 10**6)
    await collect(database, cell, [*facts, small])
    async with database.reading() as session:
        series = await usage_series(session, "acme", NOW_HOUR, NOW_HOUR + 1, GroupBy.WORKFLOW_TYPE)
    told = {point.key: point.actions for point in series}
    others = max(0, types - SERIES_KEYS_MAX)
    assert told.pop(None, 0) == sum(range(1, others + 1))
    assert told == {f"Type{number}": number + 1 for number in range(others, types)}
    assert [point.key for point in series][-1] is None or not others


async def test_the_costs_of_a_series_add_up_though_keys_are_told_as_one(
    database: Database, cell: Cell
) -> None:
    facts = [
        Fact("acme-1", FactKind.WORKFLOW_STARTED, f"Type{number}", "orders", NOW_HOUR, 10**6 + 1)
        for number in range(SERIES_KEYS_MAX + 3)
    ]
    await collect(database, cell, facts)
    prices = price_list(Plan.BUSINESS, NOW.date())
    await put_plan(database, "acme", Plan.BUSINESS, 0)
    async with database.reading() as session:
        series = await usage_series(
            session, "acme", MONTH_HOUR, NOW_HOUR + 1, GroupBy.WORKFLOW_TYPE
        )
    actions = (SERIES_KEYS_MAX + 3) * (10**6 + 1)
    assert len(series) == SERIES_KEYS_MAX + 1
    assert _sum(point.cost for point in series) == cost_of(actions, prices)


async def test_shares_are_computed_beside_the_loop(
    database: Database, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def shares(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return rating.shares(*given)

    monkeypatch.setattr(queries, "shares", shares)
    await collect(database, cell, [started(NOW_HOUR)])
    async with database.reading() as session:
        await usage_series(session, "acme", NOW_HOUR, NOW_HOUR + 1, GroupBy.ACTION)
    assert threads
    assert threading.current_thread() not in threads


async def test_actions_are_counted_by_day_and_namespace(database: Database, cell: Cell) -> None:
    hours = (MONTH_HOUR, MONTH_HOUR + 23, MONTH_HOUR + 24)
    facts = [started(hour, 10**place) for place, hour in enumerate(hours)]
    await collect(database, cell, [*facts, timer(MONTH_HOUR, 5)])
    async with database.reading() as session:
        told = await actions_by_day(session, "acme", MONTH_HOUR, MONTH_HOUR + 25)
        cut = await actions_by_day(session, "acme", MONTH_HOUR + 1, MONTH_HOUR + 24)
    day = MONTH_HOUR // 24
    assert told == {(day, "acme-1"): 11, (day, "acme-2"): 5, (day + 1, "acme-1"): 100}
    assert cut == {(day, "acme-1"): 10}


async def test_a_month_before_the_first_price_list_cannot_be_rated(database: Database) -> None:
    async with database.reading() as session:
        with pytest.raises(NoPriceList, match="2025-12-01"):
            await month_to_date(session, "acme", datetime(2025, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_a_month_tells_the_largest_types_and_namespaces_and_all_others_as_one(
    database: Database, cell: Cell, more: int
) -> None:
    count = SHARES_MAX + more
    facts = [
        Fact(
            f"acme-{number}",
            FactKind.WORKFLOW_STARTED,
            f"Type{number}",
            "orders",
            NOW_HOUR,
            MILLION + number,
        )
        for number in range(1, count + 1)
    ]
    timers = Fact(f"acme-{count}", FactKind.TIMER_STARTED, f"Type{count}", "q", MONTH_HOUR, 7)
    await collect(database, cell, [*facts, timers])
    await put_plan(database, "acme", Plan.BUSINESS, 0)
    async with database.reading() as session:
        month = await month_to_date(session, "acme", NOW)
    total = cost_of(month.actions, price_list(Plan.BUSINESS, NOW.date()))
    for told in (month.by_namespace, month.by_workflow_type):
        assert len(told) == min(count, SHARES_MAX) + max(more, 0)
        assert _sum(share.cost for share in told) == total
        assert sum(share.actions for share in told) == month.actions
        assert all(share.key is not None for share in told[:SHARES_MAX])
    if more > 0:
        assert month.by_namespace[-1].key is None
        assert month.by_namespace[-1].actions == MILLION + 1
        assert month.cells[-1] == MonthCell(
            None, "start_workflow", MILLION + 1, month.cells[-1].cost
        )
        assert month.by_workflow_type[-1].key is None
    assert _sum(each.cost for each in month.cells) == total


async def test_the_sum_of_a_month_is_that_of_its_hours(database: Database, cell: Cell) -> None:
    hours = (MONTH_HOUR - 1, MONTH_HOUR, MONTH_HOUR + 500, NOW_HOUR)
    for place, hour in enumerate(hours):
        await collect(database, cell, [started(hour, 10**place), timer(hour, 3)])
    async with database.reading() as session:
        sums = await session.scalars(sa.select(UsageMonth))
        told = {(row.from_hour, row.namespace_id): row.count for row in sums}
    february = month_of(MONTH_HOUR - 1).from_hour
    assert told == {
        (february, "acme-1"): 1,
        (february, "acme-2"): 3,
        (MONTH_HOUR, "acme-1"): 1110,
        (MONTH_HOUR, "acme-2"): 9,
    }


async def test_the_ledger_is_read_page_by_page_and_nothing_twice(
    database: Database, cell: Cell
) -> None:
    facts = [
        Fact("acme-1", FactKind.WORKFLOW_STARTED, workflow_type, queue, hour, 1)
        for hour in (MONTH_HOUR, NOW_HOUR)
        for workflow_type in ("A", "a\0b", "é", "")
        for queue in ("q", "Q'")
    ]
    await collect(database, cell, facts)
    async with database.reading() as session:
        whole = await namespace_usage(session, "acme-1")
        read: list[UsageRow] = []
        while page := await namespace_usage(
            session, "acme-1", after=read[-1].position if read else None, limit=3
        ):
            read += page
    assert len(whole) == len(facts)
    assert tuple(read) == whole
