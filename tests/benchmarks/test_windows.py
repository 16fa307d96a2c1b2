"""Which windows count, and what is said of them."""

from __future__ import annotations

import math

import pytest

from benchmarks.windows import (
    CLEAN_WINDOWS_MIN,
    FOREIGN_SHARE_MAX,
    Plan,
    Window,
    in_turns,
    percentile,
    summarise,
)


def window(*, count: int = 10, foreign_share: float = 0.0, latency_ms: float = 1.0) -> Window:
    return Window(
        seconds=2.0,
        count=count,
        latencies=[latency_ms / 1e3] * count,
        server_cpu_seconds=0.5,
        client_cpu_seconds=0.1,
        foreign_share=foreign_share,
    )


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


def test_a_disturbed_or_empty_window_is_not_clean() -> None:
    assert window(foreign_share=FOREIGN_SHARE_MAX).clean
    assert not window(foreign_share=FOREIGN_SHARE_MAX + 0.001).clean
    assert not window(count=0).clean


def test_a_summary_is_the_median_of_clean_windows_alone() -> None:
    disturbed = window(count=1, foreign_share=0.5, latency_ms=900)
    taken = [window(count=10), disturbed, window(count=20), disturbed, window(count=90)]
    summary = summarise(taken)
    assert summary.rate_per_s == 10
    assert summary.p99_ms == pytest.approx(1.0)
    assert summary.server_cpu_s_per_1000 == pytest.approx(25)
    assert (summary.clean_windows, summary.windows, summary.measured_seconds) == (3, 5, 10.0)


def test_without_a_clean_window_the_least_disturbed_stands_in_and_says_so() -> None:
    summary = summarise(
        [window(count=4, foreign_share=0.9), window(count=6, foreign_share=0.2)],
    )
    assert (summary.rate_per_s, summary.clean_windows) == (3, 0)


@pytest.mark.anyio
async def test_servers_take_turns_until_each_has_enough_clean_windows() -> None:
    order: list[str] = []
    shares = iter([0.0, 0.9, 0.0, 0.0])

    async def calm() -> Window:
        order.append("calm")
        return window()

    async def stormy() -> Window:
        order.append("stormy")
        return window(foreign_share=next(shares))

    summaries = await in_turns([calm, stormy], rounds_max=8)
    assert order == ["calm", "stormy"] * CLEAN_WINDOWS_MIN + ["stormy"]
    assert [summary.windows for summary in summaries] == [3, 4]


@pytest.mark.anyio
async def test_the_rounds_end_though_no_window_was_clean() -> None:
    async def stormy() -> Window:
        return window(foreign_share=0.9)

    [summary] = await in_turns([stormy], rounds_max=2)
    assert (summary.windows, summary.clean_windows) == (2, 0)


@pytest.mark.parametrize("load_count", [1, 2, 5, 8])
def test_the_windows_on_a_server_add_up_to_a_minute_however_few_its_loads(load_count: int) -> None:
    window_seconds = Plan.full().window_seconds_for(load_count)
    assert load_count * CLEAN_WINDOWS_MIN * window_seconds >= 60
    assert window_seconds >= Plan.full().window_seconds
