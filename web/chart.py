"""Bars for the days of a month or the hours of a day, on an SVG: percent across, pixels down."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

HEIGHT_PIXELS = 180
BAR_SHARE = 0.7
TICKS = 4
HOURS_PER_DAY = 24
HOURS_PER_MARK = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """One day or hour. `mark` is what the axis says below it, `page` what a click leads to."""

    name: str
    actions: int
    mark: str
    page: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A slot with any Action has a bar that can be seen."""

    slot: Slot
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


def month_chart(month: date, actions_by_day: Mapping[date, int]) -> Chart:
    """A day without a key has none; each leads to its hours."""
    days = [
        month.replace(day=n + 1) for n in range(calendar.monthrange(month.year, month.month)[1])
    ]
    return _chart(
        [
            Slot(
                name=day.strftime("%-d %B"),
                actions=actions_by_day.get(day, 0),
                mark=str(day.day) if day.day == 1 or day.day % 5 == 0 else "",
                page=f"/usage?day={day}",
            )
            for day in days
        ]
    )


def day_chart(actions_by_hour: Mapping[int, int]) -> Chart:
    """Keys are hours of the day; one without a key has none."""
    return _chart(
        [
            Slot(
                name=f"{hour:02}:00 to {hour + 1:02}:00",
                actions=actions_by_hour.get(hour, 0),
                mark="" if hour % HOURS_PER_MARK else f"{hour:02}",
            )
            for hour in range(HOURS_PER_DAY)
        ]
    )


def _chart(slots: list[Slot]) -> Chart:
    top = _round_up(max(slot.actions for slot in slots))
    share = 100 / len(slots)
    bars = []
    for number, slot in enumerate(slots):
        height = max(slot.actions / top * HEIGHT_PIXELS, 2) if slot.actions else 0
        bars.append(
            Bar(
                slot,
                x_percent=round((number + (1 - BAR_SHARE) / 2) * share, 3),
                width_percent=round(share * BAR_SHARE, 3),
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
