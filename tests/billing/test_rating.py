"""Prices, tiers, rounding, shares."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.errors import NoPriceList
from billing.prices import MILLION, PRICE_LISTS, Plan, PriceList, Tier, price_list
from billing.rating import CENT, cost_of, rate, shares

DAY = date(2026, 3, 1)
DEVELOPER = price_list(Plan.DEVELOPER, DAY)
BUSINESS = price_list(Plan.BUSINESS, DAY)
CENTS_PER_MILLION = PriceList(
    Plan.DEVELOPER,
    DAY,
    tiers=(Tier(7, Decimal("23.25")), Tier(None, Decimal("5.91"))),
    included_actions=3,
    fee_minimum=Decimal(0),
    fee_percent=Decimal(0),
)
TIER_EDGES = [
    (BUSINESS.included_actions + tier.up_to, tier.per_million, following.per_million)
    for tier, following in pairwise(BUSINESS.tiers)
    if tier.up_to is not None
]


def total(actions: int, prices: PriceList) -> Decimal:
    return sum((line.amount for line in rate(actions, prices)), Decimal(0))


@pytest.mark.parametrize(
    ("plan", "actions", "dollars"),
    [
        (Plan.DEVELOPER, 0, "0.00"),
        (Plan.DEVELOPER, 4 * MILLION, "220.00"),
        (Plan.BUSINESS, 0, "500.00"),
        (Plan.BUSINESS, 2_500_000, "500.00"),
        (Plan.BUSINESS, 7_500_000, "750.00"),
        # 5 M at 50, 5 M at 45, 10 M at 40, 30 M at 35, 50 M at 30, 100 M at 25; 10 % is above 500.
        (Plan.BUSINESS, 202_500_000, str(Decimal("5925.00") * Decimal("1.1"))),
    ],
)
def test_a_month_costs_its_tiers_and_the_plans_fee(plan: Plan, actions: int, dollars: str) -> None:
    assert total(actions, price_list(plan, DAY)) == Decimal(dollars)


@pytest.mark.parametrize(("edge", "below", "above"), TIER_EDGES)
def test_the_last_action_of_a_tier_has_its_price_and_the_next_one_the_next(
    edge: int, below: Decimal, above: Decimal
) -> None:
    assert cost_of(1, BUSINESS, edge - 2) == below / MILLION
    assert cost_of(1, BUSINESS, edge - 1) == below / MILLION
    assert cost_of(1, BUSINESS, edge) == above / MILLION


def test_the_business_list_has_every_tier_edge() -> None:
    assert len(TIER_EDGES) == len(BUSINESS.tiers) - 1


@pytest.mark.parametrize(("extra", "quantities"), [(-1, [1]), (0, [1]), (1, [1, 1])])
def test_a_tier_appears_on_the_invoice_with_its_first_action(
    extra: int, quantities: list[int]
) -> None:
    first = BUSINESS.tiers[0].up_to or 0
    lines = rate(BUSINESS.included_actions + first + extra, BUSINESS)
    priced = [line.quantity for line in lines if line.per_million]
    assert len(priced) == len(quantities)
    assert sum(quantity or 0 for quantity in priced) == first + extra


@pytest.mark.parametrize(("extra", "free"), [(-1, True), (0, True), (1, False)])
def test_included_actions_are_free_to_the_last(extra: int, free: bool) -> None:
    assert (cost_of(BUSINESS.included_actions + extra, BUSINESS) == 0) is free


def test_the_fee_is_its_percentage_as_soon_as_that_exceeds_the_minimum() -> None:
    fees = [rate(actions, BUSINESS)[-1].amount for actions in (122_500_000, 152_500_000)]
    costs = [cost_of(actions, BUSINESS) for actions in (122_500_000, 152_500_000)]
    assert fees == [max(Decimal(500), cost / 10) for cost in costs]
    assert fees[0] == 500 or costs[0] > 5_000


@pytest.mark.parametrize(("actions", "cents"), [(99, 0), (100, 1), (299, 1), (300, 2)])
def test_a_line_is_rounded_once_half_up_to_the_cent(actions: int, cents: int) -> None:
    assert rate(actions, DEVELOPER)[0].amount == cents * CENT


def test_one_execution_of_a_start_and_three_activities_costs_a_fiftieth_of_a_cent() -> None:
    assert cost_of(4, DEVELOPER) == CENT / 50


def test_the_list_in_force_is_the_latest_that_is_effective(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("billing.prices.PRICE_LISTS", (CENTS_PER_MILLION, *PRICE_LISTS))
    effective = CENTS_PER_MILLION.effective
    assert price_list(Plan.DEVELOPER, effective) is CENTS_PER_MILLION
    assert price_list(Plan.DEVELOPER, effective.replace(month=2)) is DEVELOPER


def test_a_day_before_the_first_list_has_no_price() -> None:
    with pytest.raises(NoPriceList, match="2025-12-31"):
        price_list(Plan.DEVELOPER, date(2025, 12, 31))


@pytest.mark.parametrize("prices", PRICE_LISTS, ids=lambda prices: str(prices.plan))
def test_prices_per_million_are_whole_cents_and_the_last_tier_is_open(prices: PriceList) -> None:
    assert all(tier.per_million % CENT == 0 for tier in prices.tiers)
    bounds = [tier.up_to for tier in prices.tiers]
    assert bounds[-1] is None
    assert None not in bounds[:-1]
    assert bounds[:-1] == sorted(set(bounds[:-1]), key=lambda bound: bound or 0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 30 * MILLION)),
        max_size=12,
    ),
    st.sampled_from([DEVELOPER, BUSINESS, CENTS_PER_MILLION]),
)
def test_every_grouping_adds_up_to_the_cost_of_the_month(
    usage: list[tuple[str, str, int]], prices: PriceList
) -> None:
    groupings: list[dict[object, int]] = [{}, {}, {}]
    for number, (first, second, actions) in enumerate(usage):
        for counts, key in zip(groupings, (first, second, number), strict=True):
            counts[key] = counts.get(key, 0) + actions
    cost = cost_of(sum(actions for _, _, actions in usage), prices)
    assert [sum(shares(counts, prices).values(), Decimal(0)) for counts in groupings] == [cost] * 3


@given(st.integers(0, 300 * MILLION), st.integers(0, 300 * MILLION))
def test_the_costs_of_two_parts_of_a_month_add_up(first: int, second: int) -> None:
    whole = cost_of(first + second, BUSINESS)
    assert cost_of(first, BUSINESS) + cost_of(second, BUSINESS, first) == whole
