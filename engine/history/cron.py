"""Cron schedules: five fields, a name like `@daily` or `@every 1h30m`, after an optional zone.

A time matches by what a clock on the wall of the zone shows. An hour that the clock skips has no
match, and one that it shows twice has two.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from engine.history.protobuf import NANOSECONDS
from engine.limits import CRON_SCHEDULE_BYTES_MAX, DURATION_SECONDS_MAX

REMEDY = (
    "write five fields (minute, hour, day of month, month, day of week), a name like '@daily',"
    " or '@every 1h30m'; in front may stand a time zone as 'CRON_TZ=Europe/Berlin'"
)
NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "h": 3_600 * NANOSECONDS,
}
AMOUNT = r"(\d{1,19})(?:\.(\d{1,18}))?(ns|us|µs|ms|s|m|h)"
HOUR = 60
DAY = 24 * HOUR
LOOK_AHEAD = timedelta(days=9 * 366)
"""The longest wait is for 29 February across a century: eight years."""


class CronError(ValueError):
    """What is written is no cron schedule."""


@dataclass(frozen=True, slots=True)
class Every:
    """At a whole number of seconds after the time before."""

    interval_ns: int

    def next_ns(self, previous_ns: int, now_ns: int) -> int:
        """The first time after `previous_ns` that is not before `now_ns`."""
        if now_ns < previous_ns:
            return previous_ns
        anchor_ns = previous_ns - previous_ns % NANOSECONDS
        return anchor_ns + max(1, -(-(now_ns - anchor_ns) // self.interval_ns)) * self.interval_ns


@dataclass(frozen=True, slots=True)
class Calendar:
    """Whenever the clock of `zone` shows a minute in all the sets.

    Of the two kinds of days, one that is left open says nothing; two that are not are alternatives.
    """

    zone: tzinfo
    minutes: frozenset[int]
    hours: frozenset[int]
    month_days: frozenset[int]
    months: frozenset[int]
    week_days: frozenset[int]
    either_day: bool

    def next_ns(self, previous_ns: int, now_ns: int) -> int:
        """The first time after `previous_ns` that is not before `now_ns`.

        A previous time that is still to come has not been used: it is the next one again.
        Raises CronError where none comes.
        """
        if now_ns < previous_ns:
            return previous_ns
        minute = max(previous_ns, now_ns - 1) // (60 * NANOSECONDS) + 1
        at = datetime.fromtimestamp(minute * 60, UTC)
        end = at + LOOK_AHEAD
        while at < end:
            local = at.astimezone(self.zone)
            steps = self._steps(local)
            if not steps:
                return int(at.timestamp()) * NANOSECONDS
            at = self._later(at, local, steps)
        raise CronError(f"no time of it comes within {LOOK_AHEAD.days} days")

    def _steps(self, local: datetime) -> tuple[int, ...]:
        """How many minutes surely have no match, the furthest step first; none for a match."""
        hour_left = HOUR - local.minute
        day_left = DAY - local.hour * HOUR - local.minute
        if local.month not in self.months:
            _, last_day = monthrange(local.year, local.month)
            return (last_day - local.day) * DAY + day_left, day_left, hour_left, 1
        if not self._is_day(local):
            return day_left, hour_left, 1
        if local.hour not in self.hours:
            return hour_left, 1
        return () if local.minute in self.minutes else (1,)

    def _later(self, at: datetime, local: datetime, steps: tuple[int, ...]) -> datetime:
        """The furthest step within which the clock is not changed; a change is walked over."""
        for step in steps:
            later = at + timedelta(minutes=step)
            if later.astimezone(self.zone).utcoffset() == local.utcoffset():
                return later
        return at + timedelta(minutes=1)

    def _is_day(self, local: datetime) -> bool:
        by_month = local.day in self.month_days
        by_week = local.isoweekday() % 7 in self.week_days
        return by_month or by_week if self.either_day else by_month and by_week


class Field:
    """One of the five: its bounds, and names that may stand for numbers."""

    def __init__(self, name: str, first: int, last: int, words: str = "") -> None:
        self.name = name
        self.first = first
        self.last = last
        self._words = {word: number for number, word in enumerate(words.split(), start=first)}

    def parse(self, text: str) -> tuple[frozenset[int], bool]:
        """The numbers, and whether the field leaves all open. Raises CronError."""
        numbers: set[int] = set()
        is_open = False
        for part in text.split(","):
            span, slash, step_text = part.partition("/")
            step = self._number(step_text, part) if slash else 1
            if step < 1:
                raise CronError(f"the step of {self.name} {part!r} must be at least 1")
            first, last = self._span(span, part, stepped=bool(slash))
            numbers.update(range(first, last + 1, step))
            is_open = is_open or (span in ("*", "?") and step == 1)
        return frozenset(numbers), is_open

    def _span(self, span: str, part: str, *, stepped: bool) -> tuple[int, int]:
        if span in ("*", "?"):
            return self.first, self.last
        low, dash, high = span.partition("-")
        first = self._bounded(low, part)
        if dash:
            last = self._bounded(high, part)
        else:
            last = self.last if stepped else first
        if last < first:
            raise CronError(f"{self.name} {part!r} ends before it begins")
        return first, last

    def _bounded(self, text: str, part: str) -> int:
        number = self._words.get(text.lower())
        if number is None:
            number = self._number(text, part)
        if not self.first <= number <= self.last:
            bounds = f"between {self.first} and {self.last}"
            raise CronError(f"{self.name} {part!r} is not {bounds}")
        return number

    def _number(self, text: str, part: str) -> int:
        if not re.fullmatch(r"\d{1,4}", text, re.ASCII):
            raise CronError(f"{self.name} {part!r} is not understood")
        return int(text)


class WeekDay(Field):
    """Sunday is 0; as a number it may also be 7."""

    def parse(self, text: str) -> tuple[frozenset[int], bool]:
        numbers, is_open = super().parse(text)
        return frozenset(number % 7 for number in numbers), is_open

    def _span(self, span: str, part: str, *, stepped: bool) -> tuple[int, int]:
        first, last = super()._span(span, part, stepped=stepped)
        # Only who writes 7 means it: a step over the whole week ends on Saturday.
        return (first, last) if "7" in span else (first, min(last, 6))


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    WeekDay("day of week", 0, 7, "sun mon tue wed thu fri sat"),
)


def parse(schedule: str) -> Every | Calendar:
    """Raises CronError, which says what is wrong with the schedule."""
    if len(schedule.encode()) > CRON_SCHEDULE_BYTES_MAX:
        raise CronError(f"has more than {CRON_SCHEDULE_BYTES_MAX} bytes")
    words = schedule.split()
    zone: tzinfo = UTC
    if words and words[0].startswith(("TZ=", "CRON_TZ=")):
        zone = _zone(words.pop(0).partition("=")[2])
    if words[:1] == ["@every"]:
        return Every(_interval_ns(" ".join(words[1:])))
    if len(words) == 1 and words[0] in NAMED:
        words = NAMED[words[0]].split()
    if len(words) != len(FIELDS):
        raise CronError(f"has {len(words)} fields, not {len(FIELDS)}")
    minutes, hours, month_days, months, week_days = (
        field.parse(word) for field, word in zip(FIELDS, words, strict=True)
    )
    any_month_day, any_week_day = month_days[1], week_days[1]
    if any_week_day and all(min(month_days[0]) > _last_day(month) for month in months[0]):
        raise CronError(f"day of month {words[2]!r} never comes in month {words[3]!r}")
    return Calendar(
        zone,
        minutes[0],
        hours[0],
        month_days[0],
        months[0],
        week_days[0],
        either_day=not (any_month_day or any_week_day),
    )


def problem(schedule: str, now_ns: int) -> str:
    """What is wrong with a schedule as it was sent, and the remedy; empty when nothing is."""
    try:
        parse(schedule).next_ns(now_ns, now_ns)
    except CronError as error:
        return f"{schedule[:CRON_SCHEDULE_BYTES_MAX]!r}: {error}; {REMEDY}"
    return ""


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    # What is no name, no file or no zone raises each in its own way.
    except (KeyError, ValueError, OSError):
        raise CronError(f"the time zone {name!r} is not known") from None


def _last_day(month: int) -> int:
    """The most days that the month ever has, as in a leap year."""
    return monthrange(2000, month)[1]


def _interval_ns(text: str) -> int:
    if not re.fullmatch(f"(?:{AMOUNT})+", text, re.ASCII):
        raise CronError(f"the interval {text!r} is not understood")
    amounts: list[tuple[str, str, str]] = re.findall(AMOUNT, text, re.ASCII)
    interval_ns = 0
    for whole, fraction, unit in amounts:
        interval_ns += int(whole + fraction) * UNIT_NS[unit] // int("1" + "0" * len(fraction))
    if interval_ns < NANOSECONDS:
        raise CronError(f"the interval {text!r} is shorter than 1s")
    if interval_ns > DURATION_SECONDS_MAX * NANOSECONDS:
        raise CronError(f"the interval {text!r} is longer than 100 years")
    return interval_ns - interval_ns % NANOSECONDS
