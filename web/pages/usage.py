"""What the account used and what it costs: a month, and hour by hour a day of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from starlette.responses import Response

from tenancy.clock import now
from web.chart import HOURS_PER_DAY, Chart, day_chart, month_chart
from web.cloud import Answer, Cloud
from web.errors import NoSuchPage
from web.formats import read_time
from web.visit import Visit

FIRST_MONTH = date(2026, 1, 1)
"""Nothing was used before it."""

DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"20\d\d-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table below the chart; its name leads to `page` if it has one."""

    name: str
    actions: int
    cost: Decimal
    page: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Namespaces down and Actions across, the dearest first; shares are the totals of each."""

    namespaces: list[Answer]
    actions: list[Answer]
    counts: dict[tuple[str, str], int]
    cost: Decimal

    def count(self, namespace_id: str, action: str) -> int:
        return self.counts.get((namespace_id, action), 0)


async def show(visit: Visit) -> Response:
    month, day = _asked(visit)
    cost = await visit.cloud.get("/api/v1/usage/cost", month=f"{month:%Y-%m}")
    by_day = {date.fromisoformat(each["key"]): each for each in cost.get("by_day") or []}
    today = now().date()

    if day is None:
        chart = month_chart(month, {key: int(it["actions"]) for key, it in by_day.items()})
        rows = [
            Row(f"{key:%-d %B}", int(it["actions"]), _amount(it), f"/usage?day={key}")
            for key, it in by_day.items()
        ]
    else:
        chart, rows = await _hours(visit.cloud, day)
    return visit.page(
        "usage.html",
        month=month,
        day=day,
        is_this_month=month == today.replace(day=1),
        previous_month=_not_before(FIRST_MONTH, (month - DAY).replace(day=1)),
        next_month=_not_after(today, (month + 31 * DAY).replace(day=1)),
        previous_day=_not_before(FIRST_MONTH, day - DAY) if day else None,
        next_day=_not_after(today, day + DAY) if day else None,
        last_day=min(today, max(by_day, default=month)),
        as_of=read_time(cost.get("as_of")),
        actions=int(cost.get("actions", 0)),
        total=cost.get("total", 0),
        currency=cost.get("currency", ""),
        lines=cost.get("lines") or [],
        chart=chart,
        rows=rows,
        matrix=_matrix(cost),
        groups=[
            ("Action", cost.get("by_action") or []),
            ("Workflow type", cost.get("by_workflow_type") or []),
        ],
    )


async def _hours(cloud: Cloud, day: date) -> tuple[Chart, list[Row]]:
    start = (datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH) // timedelta(hours=1)
    asked = {"from": start, "to": start + HOURS_PER_DAY}
    actions: Counter[int] = Counter()
    costs: dict[int, Decimal] = {}
    for point in (await cloud.get("/api/v1/usage/series", **asked)).get("points") or []:
        hour = int(point["hour"]) - start
        actions[hour] += int(point["actions"])
        costs[hour] = costs.get(hour, Decimal(0)) + _amount(point)
    chart = day_chart(actions)
    rows = [Row(chart.bars[hour].slot.name, actions[hour], costs[hour]) for hour in sorted(costs)]
    return chart, rows


def _matrix(cost: Answer) -> Matrix:
    cells = cost.get("by_namespace_and_action") or []
    return Matrix(
        namespaces=cost.get("by_namespace") or [],
        actions=cost.get("by_action") or [],
        counts={(cell["namespace_id"], cell["action"]): int(cell["actions"]) for cell in cells},
        cost=sum((_amount(cell) for cell in cells), Decimal(0)),
    )


def _amount(share: Answer) -> Decimal:
    return Decimal(str(share.get("cost", 0)))


def _asked(visit: Visit) -> tuple[date, date | None]:
    """The month that is shown, as its first day, and the day of it whose hours are."""
    day, month = visit.query("day"), visit.query("month")
    text = day or f"{month or format(now(), '%Y-%m')}-01"
    try:
        asked = date.fromisoformat(text) if _DATE.fullmatch(text) else date.min
    except ValueError:
        raise NoSuchPage from None
    if asked < FIRST_MONTH:
        raise NoSuchPage
    return asked.replace(day=1), asked if day else None


def _not_before(first: date, other: date) -> date | None:
    return None if other < first else other


def _not_after(last: date, other: date) -> date | None:
    return None if other > last else other
