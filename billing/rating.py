"""Rating: Actions × price list → lines. Pure, in Decimal, each line rounded once, to the cent.

Costs that are shown (by namespace, by hour …) are exact shares of the unrounded cost, in steps of
COST_STEP, so that each way of grouping adds up to the same sum.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

from billing.prices import MILLION, PriceList

CENT = Decimal("0.01")
COST_STEP = CENT / MILLION
"""The price of one Action is a whole number of these, as prices per million are whole cents."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Line:
    """One line of an invoice. Fees have no quantity; `amount` is in whole cents."""

    text: str
    quantity: int | None
    per_million: Decimal | None
    amount: Decimal


def rate(actions: int, prices: PriceList) -> tuple[Line, ...]:
    """The lines of one period: included Actions, one per tier reached, the plan's fee."""
    included = min(actions, prices.included_actions)
    lines = [Line("Actions included", included, Decimal(0), Decimal(0))] if included else []
    for quantity, per_million in _tiers(actions, prices):
        cost = quantity * per_million / MILLION
        lines.append(Line("Actions", quantity, per_million, _cents(cost)))
    fee = max(prices.fee_minimum, cost_of(actions, prices) * prices.fee_percent / 100)
    lines.append(Line(f"{prices.name} plan", None, None, _cents(fee)))
    return tuple(lines)


def cost_of(actions: int, prices: PriceList, after_actions: int = 0) -> Decimal:
    """What `actions` cost, unrounded and without the fee, when so many came before in the month.

    It answers what one execution costs: `cost_of(its Actions, prices, month's Actions so far)`.
    """
    return _cost(after_actions + actions, prices) - _cost(after_actions, prices)


def shares(counts: Mapping[K, int], prices: PriceList) -> dict[K, Decimal]:
    """The month's cost, shared out by the Actions of each key; the shares add up to it exactly.

    Every Action of a month costs the same here, whichever tier it fell into. What division
    leaves over goes, a step each, to the keys it was cut from most.
    """
    total = sum(counts.values())
    if not total:
        return {key: Decimal(0) for key in counts}
    steps = int(_cost(total, prices) / COST_STEP)
    whole = {key: divmod(steps * count, total) for key, count in counts.items()}
    left = steps - sum(quotient for quotient, _ in whole.values())
    most_cut = sorted(whole, key=lambda key: whole[key][1], reverse=True)[:left]
    given = {key: quotient for key, (quotient, _) in whole.items()}
    for key in most_cut:
        given[key] += 1
    return {key: steps * COST_STEP for key, steps in given.items()}


def _cost(actions: int, prices: PriceList) -> Decimal:
    parts = (quantity * per_million for quantity, per_million in _tiers(actions, prices))
    return sum(parts, Decimal(0)) / MILLION


def _tiers(actions: int, prices: PriceList) -> Iterator[tuple[int, Decimal]]:
    """Quantity and price per million of each tier that is reached."""
    billable = max(0, actions - prices.included_actions)
    reached = 0
    for tier in prices.tiers:
        end = billable if tier.up_to is None else min(billable, tier.up_to)
        if end > reached:
            yield end - reached, tier.per_million
            reached = end


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)
