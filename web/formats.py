"""How times, durations, sizes, counts and money are written. Every time is UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tenancy.clock import now

SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 60 * SECONDS_PER_MINUTE
SECONDS_PER_DAY = 24 * SECONDS_PER_HOUR
_FRACTION = re.compile(r"\.(\d+)")


def read_time(text: str | None) -> datetime | None:
    """An RFC 3339 time of the API, to the microsecond; None if there is none."""
    if not text:
        return None
    short = _FRACTION.sub(lambda match: "." + match[1][:6].ljust(6, "0"), text)
    return datetime.fromisoformat(short).astimezone(UTC)


def read_month(name: str) -> str:
    """`2026-11` as a reader says it."""
    return date.fromisoformat(f"{name}-01").strftime("%B %Y")


def read_duration(text: str | None) -> timedelta | None:
    """A protobuf duration in JSON (`"3.5s"`); None if there is none or it is zero."""
    seconds = float(text[:-1]) if text and text.endswith("s") else 0
    # A duration longer than Python's own means as much as none.
    is_sensible = 0 < seconds < timedelta.max.total_seconds()
    return timedelta(seconds=seconds) if is_sensible else None


def when(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S") if time else "—"


def exactly(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S.%f UTC") if time else ""


def day(time: datetime | None) -> str:
    return time.strftime("%-d %B %Y") if time else "—"


def span(length: timedelta | None) -> str:
    """The two largest units of a duration."""
    if length is None:
        return "—"
    seconds = max(length.total_seconds(), 0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < SECONDS_PER_MINUTE:
        return f"{round(seconds, 2 if seconds < 10 else 1):g} s"
    for unit, name, small, small_name in (
        (SECONDS_PER_DAY, "d", SECONDS_PER_HOUR, "h"),
        (SECONDS_PER_HOUR, "h", SECONDS_PER_MINUTE, "min"),
        (SECONDS_PER_MINUTE, "min", 1, "s"),
    ):
        if seconds >= unit:
            whole, rest = divmod(int(seconds), unit)
            tail = f" {rest // small} {small_name}" if rest // small else ""
            return f"{whole} {name}{tail}"
    return "—"


def ago(time: datetime | None) -> str:
    if time is None:
        return "—"
    passed = now() - time
    if passed < timedelta(seconds=5):
        return "just now"
    return f"{span(timedelta(seconds=int(passed.total_seconds())))} ago"


def count(number: int | str | None) -> str:
    return f"{int(number or 0):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def number_of(number: int, unit: str) -> str:
    return f"{count(number)} {unit if number == 1 else unit + 's'}"


def size(bytes_count: int | str | None) -> str:
    amount = float(bytes_count or 0)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def money(amount: object) -> str:
    """Dollars and cents; what is less than a cent keeps two digits that say something."""
    value = Decimal(str(amount or 0))
    small = round(value, min(1 - value.adjusted(), 8)) if value else value
    return f"${small:f}" if 0 < abs(small) < Decimal("0.01") else f"${value:,.2f}"


def words(identifier: str) -> str:
    """`EVENT_TYPE_TIMER_FIRED`-like and `camelCase` names as a reader says them."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", identifier).replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:].lower()
