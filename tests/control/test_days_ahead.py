"""An installation that is set ahead of the machine's clock: to see what comes after a month."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.cells import cloud_env
from api.days_ahead import TimeWouldGoBack, follow_clock, set_clock
from api.installation import Installation, installation
from tenancy import clock

NEAR = timedelta(hours=1)
DAYS = 31


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path / "data") as held:
        yield held
    clock.set_ahead(timedelta())


def is_near(days: int) -> bool:
    """Whether everything that tells the time tells that of so many days ahead."""
    expected = datetime.now(UTC) + timedelta(days=days)
    engine_at = datetime.fromtimestamp(cloud_env().now_ns() / 1e9, UTC)
    return abs(clock.now() - expected) < NEAR and abs(engine_at - expected) < NEAR


def test_an_installation_lives_with_the_machine_unless_told_otherwise(held: Installation) -> None:
    set_clock(held, None)
    assert is_near(0)
    assert abs(clock.wall_ns() - time.time_ns()) < NEAR / timedelta(microseconds=1) * 1_000


def test_all_that_use_an_installation_live_as_far_ahead_as_it_does(held: Installation) -> None:
    set_clock(held, DAYS)
    assert is_near(DAYS)
    clock.set_ahead(timedelta())
    set_clock(held, None)
    assert is_near(DAYS)
    clock.set_ahead(timedelta())
    follow_clock(held.data)
    assert is_near(DAYS)


def test_time_does_not_go_back(held: Installation) -> None:
    set_clock(held, DAYS)
    with pytest.raises(TimeWouldGoBack, match=f"--days-ahead {DAYS} or more"):
        set_clock(held, DAYS - 1)
    set_clock(held, DAYS + 1)
    assert is_near(DAYS + 1)
