"""The two times of usage: the hour in which it occurred and the period that is invoiced.

An hour is an integer, hours since the epoch in UTC, as the engine stamps it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

HOURS_PER_DAY = 24
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Period(NamedTuple):
    """One UTC calendar month, as hours: the first one, and the one behind the last."""

    from_hour: int
    to_hour: int


def hour_of(at: datetime) -> int:
    return (at - EPOCH) // timedelta(hours=1)


def hour_start(hour: int) -> datetime:
    return EPOCH + timedelta(hours=hour)


def month_of(hour: int) -> Period:
    """The period that the hour belongs to."""
    first = hour_start(hour).replace(day=1, hour=0)
    next_first = (first + timedelta(days=31)).replace(day=1)
    return Period(hour_of(first), hour_of(next_first))


def month_named(name: str) -> Period:
    """The period that is called as `2026-11`. Raises ValueError."""
    return month_of(hour_of(datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)))


def month_name(from_hour: int) -> str:
    """As `2026-11`."""
    return hour_start(from_hour).strftime("%Y-%m")


def month_title(from_hour: int) -> str:
    """As `November 2026`."""
    return hour_start(from_hour).strftime("%B %Y")
