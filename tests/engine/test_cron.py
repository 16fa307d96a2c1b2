"""Cron schedules by themselves: what they say, when their next time is, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.history import cron
from engine.limits import CRON_SCHEDULE_BYTES_MAX, DURATION_SECONDS_MAX
from tests.engine.bounds import ON_BOTH_SIDES, limit

SECOND_NS = 1_000_000_000
MINUTE = timedelta(minutes=1)
NEW_YORK = "CRON_TZ=America/New_York"


def ns(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000


def next_time(schedule: str, previous: str, now: str = "") -> str:
    """The next time as the zone of `previous` shows it."""
    before = datetime.fromisoformat(previous)
    at = datetime.fromisoformat(now) if now else before
    following_ns = cron.parse(schedule).next_ns(ns(before), ns(at))
    following = datetime.fromtimestamp(following_ns / SECOND_NS, UTC)
    return following.astimezone(before.tzinfo).isoformat()


NEXT = [
    ("* * * * *", "2026-03-01T12:00:00Z", "2026-03-01T12:01:00+00:00"),
    ("* * * * *", "2026-03-01T12:00:59.999Z", "2026-03-01T12:01:00+00:00"),
    ("*/15 * * * *", "2026-03-01T12:00:00Z", "2026-03-01T12:15:00+00:00"),
    ("7/20 * * * *", "2026-03-01T12:30:00Z", "2026-03-01T12:47:00+00:00"),
    ("5-10/5,50 9 * * *", "2026-03-01T09:07:00Z", "2026-03-01T09:10:00+00:00"),
    ("0 9 * * mon-fri", "2026-02-27T09:00:00Z", "2026-03-02T09:00:00+00:00"),
    ("0 9 * * 7", "2026-03-02T00:00:00Z", "2026-03-08T09:00:00+00:00"),
    ("0 9 * * 5-7", "2026-03-07T10:00:00Z", "2026-03-08T09:00:00+00:00"),
    ("0 9 * * */3", "2026-03-05T00:00:00Z", "2026-03-07T09:00:00+00:00"),
    ("0 0 1 JAN,Jul ?", "2026-03-01T12:00:00Z", "2026-07-01T00:00:00+00:00"),
    ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00+00:00"),
    # Two restricted kinds of days are alternatives, also where one of them never comes.
    ("0 0 13 * 5", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00+00:00"),
    ("0 0 13 * 5", "2026-04-11T00:00:00Z", "2026-04-13T00:00:00+00:00"),
    ("0 0 31 2 0", "2026-02-02T00:00:00Z", "2026-02-08T00:00:00+00:00"),
    # A step leaves nothing open: the 1st, 11th, 21st and 31st, and every Friday.
    ("0 0 */10 * 5", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00+00:00"),
    ("@yearly", "2026-03-01T00:00:00Z", "2027-01-01T00:00:00+00:00"),
    ("@monthly", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00+00:00"),
    ("@weekly", "2026-03-01T00:00:00Z", "2026-03-08T00:00:00+00:00"),
    ("@daily", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00+00:00"),
    ("@hourly", "2026-03-01T00:00:00Z", "2026-03-01T01:00:00+00:00"),
    ("CRON_TZ=Asia/Kolkata @daily", "2026-03-01T00:00:00Z", "2026-03-01T18:30:00+00:00"),
    ("TZ=Europe/Berlin 0 9 * * *", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00+00:00"),
    ("@every 90m", "2026-03-01T12:00:00.7Z", "2026-03-01T13:30:00+00:00"),
    ("@every 1h0.5m1.9s", "2026-03-01T12:00:00Z", "2026-03-01T13:00:31+00:00"),
    # At two in the night of the 8th the clock goes on to three: what is between is not that day.
    (f"{NEW_YORK} 30 2 * * *", "2026-03-07T12:00:00-05:00", "2026-03-09T01:30:00-05:00"),
    (f"{NEW_YORK} 0 * * * *", "2026-03-08T01:00:00-05:00", "2026-03-08T02:00:00-05:00"),
    # At two in the night of 1 November it goes back to one: what is between comes twice.
    (f"{NEW_YORK} 30 1 * * *", "2026-11-01T00:00:00-04:00", "2026-11-01T01:30:00-04:00"),
    (f"{NEW_YORK} 30 1 * * *", "2026-11-01T01:30:00-04:00", "2026-11-01T02:30:00-04:00"),
    (f"{NEW_YORK} 30 1 * * *", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"),
]


@pytest.mark.parametrize(("schedule", "previous", "expected"), NEXT)
def test_a_schedule_has_a_next_time(schedule: str, previous: str, expected: str) -> None:
    assert next_time(schedule, previous) == expected


CAUGHT_UP = [
    # Times that passed while the run went on are left out; one that is just now is not.
    ("* * * * *", "12:00:00", "12:07:30", "12:08:00"),
    ("* * * * *", "12:00:00", "12:08:00", "12:08:00"),
    ("@every 10s", "12:00:00", "12:07:31", "12:07:40"),
    ("@every 10s", "12:00:00", "12:07:40", "12:07:40"),
    ("@every 7s", "12:00:00.5", "12:00:14.001", "12:00:21"),
    # A run that ended before its time leaves that time to the next one.
    ("* * * * *", "12:30:00", "12:07:00", "12:30:00"),
    ("@every 10s", "12:30:00", "12:07:00", "12:30:00"),
]


@pytest.mark.parametrize(("schedule", "previous", "now", "expected"), CAUGHT_UP)
def test_the_next_time_is_not_before_the_end_of_the_run(
    schedule: str, previous: str, now: str, expected: str
) -> None:
    day = "2026-03-01T"
    following = next_time(schedule, f"{day}{previous}Z", f"{day}{now}Z")
    assert following == f"{day}{expected}+00:00"


REFUSED = [
    ("", "has 0 fields, not 5"),
    ("* * * *", "has 4 fields, not 5"),
    ("0 * * * * *", "has 6 fields, not 5"),
    ("61 * * * *", "minute '61' is not between 0 and 59"),
    ("* 24 * * *", "hour '24' is not between 0 and 23"),
    ("* * 0 * *", "day of month '0' is not between 1 and 31"),
    ("* * * 13 *", "month '13' is not between 1 and 12"),
    ("* * * * 8", "day of week '8' is not between 0 and 7"),
    ("* * * * funday", "day of week 'funday' is not understood"),
    ("-1 * * * *", "minute '-1' is not understood"),
    ("1- * * * *", "minute '1-' is not understood"),
    ("1,,2 * * * *", "minute '' is not understood"),
    ("٣ * * * *", "minute '٣' is not understood"),
    ("30-10 * * * *", "minute '30-10' ends before it begins"),
    ("*/0 * * * *", "the step of minute '*/0' must be at least 1"),
    ("*/x * * * *", "minute '*/x' is not understood"),
    ("0 0 30 2 *", "day of month '30' never comes in month '2'"),
    ("0 0 31 4,6 *", "day of month '31' never comes in month '4,6'"),
    ("@fortnightly", "has 1 fields, not 5"),
    ("@every", "the interval '' is not understood"),
    ("@every soon", "the interval 'soon' is not understood"),
    ("@every -5m", "the interval '-5m' is not understood"),
    ("@every 999ms", "the interval '999ms' is shorter than 1s"),
    ("CRON_TZ=Atlantis/Capital * * * * *", "the time zone 'Atlantis/Capital' is not known"),
    ("CRON_TZ= * * * * *", "the time zone '' is not known"),
    ("CRON_TZ=../../etc/passwd * * * * *", "the time zone '../../etc/passwd' is not known"),
    ("CRON_TZ=America * * * * *", "the time zone 'America' is not known"),
    (f"TZ={'x' * 900} * * * * *", "is not known"),
]


@pytest.mark.parametrize(("schedule", "why"), REFUSED)
def test_what_is_no_schedule_is_refused_with_the_reason_and_the_remedy(
    schedule: str, why: str
) -> None:
    problem = cron.problem(schedule, 0)
    assert why in problem
    assert problem.startswith(repr(schedule))
    assert "write five fields (minute, hour, day of month, month, day of week)" in problem


@limit("CRON_SCHEDULE_BYTES_MAX")
@ON_BOTH_SIDES
def test_a_schedule_has_at_most_its_bytes(beyond: int) -> None:
    schedule = "* * * * " + "1," * CRON_SCHEDULE_BYTES_MAX
    schedule = schedule[: CRON_SCHEDULE_BYTES_MAX + beyond - 1] + "1"
    is_refused = f"more than {CRON_SCHEDULE_BYTES_MAX} bytes" in cron.problem(schedule, 0)
    assert is_refused == (beyond > 0)


@limit("DURATION_SECONDS_MAX")
@ON_BOTH_SIDES
def test_an_interval_lasts_at_most_a_hundred_years(beyond: int) -> None:
    problem = cron.problem(f"@every {DURATION_SECONDS_MAX + beyond}s", 0)
    assert ("is longer than 100 years" in problem) == (beyond > 0)


ZONES = (
    "UTC",
    "America/New_York",
    "America/Santiago",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Chatham",
)
LATEST_SECONDS = 2_200_000_000
LOOKED_AT_MINUTES = 3_000


def numbers(first: int, last: int) -> st.SearchStrategy[frozenset[int]]:
    some = st.frozensets(st.integers(first, last), min_size=1, max_size=4)
    return st.one_of(some, st.just(frozenset(range(first, last + 1))))


@given(
    zone=st.sampled_from(ZONES),
    now_seconds=st.integers(1_600_000_000, LATEST_SECONDS),
    minutes=numbers(0, 59),
    hours=numbers(0, 23),
    month_days=numbers(1, 28),
    months=numbers(1, 12),
    week_days=numbers(0, 6),
)
@settings(max_examples=60, deadline=None)
def test_the_next_time_is_the_first_minute_that_the_clock_of_the_zone_shows(
    zone: str,
    now_seconds: int,
    minutes: frozenset[int],
    hours: frozenset[int],
    month_days: frozenset[int],
    months: frozenset[int],
    week_days: frozenset[int],
) -> None:
    sets = (minutes, hours, month_days, months, week_days)
    texts = (",".join(map(str, sorted(some))) for some in sets)
    schedule = f"CRON_TZ={zone} {' '.join(texts)}"

    def matches(time: datetime) -> bool:
        shown = time.astimezone(ZoneInfo(zone))
        return (
            shown.minute in minutes
            and shown.hour in hours
            and shown.month in months
            and (shown.day in month_days or shown.isoweekday() % 7 in week_days)
        )

    following_ns = cron.parse(schedule).next_ns(now_seconds * SECOND_NS, now_seconds * SECOND_NS)
    following = datetime.fromtimestamp(following_ns // SECOND_NS, UTC)
    assert matches(following)
    minute = datetime.fromtimestamp(now_seconds // 60 * 60, UTC) + MINUTE
    for _ in range(LOOKED_AT_MINUTES):
        if minute == following:
            break
        assert minute < following
        assert not matches(minute)
        minute += MINUTE


@given(st.integers(0, LATEST_SECONDS * SECOND_NS), st.integers(0, 10**18), st.integers(1, 10**6))
def test_an_interval_keeps_its_grid(previous_ns: int, passed_ns: int, seconds: int) -> None:
    now_ns = previous_ns + passed_ns
    following_ns = cron.parse(f"@every {seconds}s").next_ns(previous_ns, now_ns)
    assert following_ns > previous_ns
    assert following_ns >= now_ns
    whole_ns = previous_ns // SECOND_NS * SECOND_NS
    assert (following_ns - whole_ns) % (seconds * SECOND_NS) == 0
    assert following_ns - max(now_ns, previous_ns) <= seconds * SECOND_NS
