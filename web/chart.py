"""Bars for each day of a month, placed on an SVG: percent across, pixels down."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

HEIGHT_PIXELS = 180
BAR_SHARE = 0.7
TICKS = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One day. A day with any Action has a bar that can be seen."""

    day: date
    actions: int
    x_percent: float
    width_percent: float
    y_pixels: float
    height_pixels: float


@dataclass(frozen=True, slots=True)
class Tick:
    value: int
    y_pixels: float


@dataclass(frozen=True, slots=True)
class Chart:
    bars: list[Bar]
    ticks: list[Tick]
    height_pixels: int = HEIGHT_PIXELS


def month_chart(month: date, actions_by_day: Mapping[str, int]) -> Chart:
    """Keys are ISO dates; a day without a key has none."""
    days = calendar.monthrange(month.year, month.month)[1]
    top = _round_up(max((*actions_by_day.values(), 0)))
    slot = 100 / days
    bars = []
    for number in range(1, days + 1):
        this_day = month.replace(day=number)
        actions = actions_by_day.get(this_day.isoformat(), 0)
        height = max(actions / top * HEIGHT_PIXELS, 2) if actions else 0
        bars.append(
            Bar(
                day=this_day,
                actions=actions,
                x_percent=round((number - 1 + (1 - BAR_SHARE) / 2) * slot, 3),
                width_percent=round(slot * BAR_SHARE, 3),
                y_pixels=round(HEIGHT_PIXELS - height, 1),
                height_pixels=round(height, 1),
            )
        )
    steps = range(TICKS + 1)
    ticks = [
        Tick(top * step // TICKS, round(HEIGHT_PIXELS * (1 - step / TICKS), 1)) for step in steps
    ]
    return Chart(bars, ticks)


def _round_up(value: int) -> int:
    """The next number that four ticks divide into whole ones that are easy to read."""
    magnitude = 1
    while True:
        for step in (4, 8, 12, 20):
            if value <= step * magnitude:
                return step * magnitude
        magnitude *= 10
