"""Price lists: data, in US dollars. A period is rated by the list in force on its first day.

Lists are added, never edited: an invoice must be explained by the list it was rated with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from billing.errors import NoPriceList

CURRENCY = "USD"
MILLION = 1_000_000


class Plan(StrEnum):
    DEVELOPER = "developer"
    BUSINESS = "business"


PLAN_NAMES: Mapping[Plan, str] = {Plan.DEVELOPER: "Developer", Plan.BUSINESS: "Business"}
"""What people call them."""


@dataclass(frozen=True)
class Tier:
    """The price of the Actions up to and including the `up_to`-th; None means all others."""

    up_to: int | None
    per_million: Decimal


@dataclass(frozen=True)
class PriceList:
    """What a plan costs from `effective` on.

    The first `included_actions` of a month are free, and the tiers count those behind them. The
    plan's fee is `fee_percent` of what they cost, at least `fee_minimum`. Prices per million are
    whole cents.
    """

    plan: Plan
    effective: date
    tiers: tuple[Tier, ...]
    included_actions: int
    fee_minimum: Decimal
    fee_percent: Decimal

    @property
    def name(self) -> str:
        return PLAN_NAMES[self.plan]


PRICE_LISTS: tuple[PriceList, ...] = (
    PriceList(
        Plan.DEVELOPER,
        date(2026, 1, 1),
        tiers=(Tier(None, Decimal(50)),),
        included_actions=0,
        fee_minimum=Decimal(0),
        fee_percent=Decimal(10),
    ),
    PriceList(
        Plan.BUSINESS,
        date(2026, 1, 1),
        tiers=(
            Tier(5 * MILLION, Decimal(50)),
            Tier(10 * MILLION, Decimal(45)),
            Tier(20 * MILLION, Decimal(40)),
            Tier(50 * MILLION, Decimal(35)),
            Tier(100 * MILLION, Decimal(30)),
            Tier(None, Decimal(25)),
        ),
        included_actions=2_500_000,
        fee_minimum=Decimal(500),
        fee_percent=Decimal(10),
    ),
)


def price_list(plan: Plan, day: date) -> PriceList:
    """The plan's list in force on `day`. Raises NoPriceList."""
    in_force = [prices for prices in PRICE_LISTS if prices.plan is plan and prices.effective <= day]
    if not in_force:
        raise NoPriceList(plan, day)
    return max(in_force, key=lambda prices: prices.effective)
