"""The wall clock that this process lives by: the machine's, or days ahead of it.

Nobody can wait for the end of a month, or of a sleep of thirty days, to see what happens then. An
installation that is set ahead lives in the future at the usual pace; clocks that only measure
durations, and the certificates of machines, are not touched.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_ahead = timedelta()


def set_ahead(by: timedelta) -> None:
    """For all of this process; call it before anything asks for the time."""
    global _ahead
    _ahead = by


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC) + _ahead


def wall_ns() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns() + _ahead // timedelta(microseconds=1) * 1_000
