"""The wall clock that this process lives by: the machine's, or days ahead of it.

Nobody can wait for the end of a month, or of a sleep of thirty days, to see what happens then. An
installation that is set ahead lives in the future at the usual pace; clocks that only measure
durations, and the certificates of machines, are not touched.

The machine's clock is taken when this module is imported, before the client library puts its guards
on those of the `time` module.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import time_ns

_ahead = timedelta()
_ahead_ns = 0


def set_ahead(by: timedelta) -> None:
    """For all of this process; call it before anything asks for the time."""
    global _ahead, _ahead_ns
    _ahead = by
    _ahead_ns = by // timedelta(microseconds=1) * 1_000


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC) + _ahead


def wall_ns() -> int:
    """Nanoseconds since 1970."""
    return time_ns() + _ahead_ns
