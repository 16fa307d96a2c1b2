"""The page of usage and cost."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from tests.web.conftest import Visitor
from tests.web.fake_cloud import ACCOUNT, NAMESPACE, cell, sample_cost, totals
from web.chart import HEIGHT_PIXELS, month_chart
from web.formats import money


async def test_a_month_shows_its_cost_by_namespace_action_and_line(user: Visitor) -> None:
    user.cloud.cost = sample_cost(datetime(2026, 11, 20, 9, 30, tzinfo=UTC))
    page = await user.page("/usage?month=2026-11")
    assert "$25.31" in page.text
    rows = [each.text for each in page.all("tr")]
    assert any(row.startswith(wrapping(NAMESPACE) + " $0.31") for row in rows)
    assert any(row.startswith("Start workflow") for row in rows)
    assert "Total $25.31" in rows
    assert len(page.all("rect", _class="bar")) == 20
    assert "/usage?month=2026-10" in page.links()
    assert "/usage?day=2026-11-20#chart" in page.links()


async def test_each_namespace_has_a_row_with_a_count_for_each_action(user: Visitor) -> None:
    cells = [
        cell("start_workflow", 20, "0.0010"),
        cell("start_timer", 7, "0.00035"),
        cell("start_workflow", 3, "0.00015", f"staging.{ACCOUNT}"),
    ]
    user.cloud.cost = {
        **sample_cost(datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        "actions": 30,
        "by_namespace_and_action": cells,
        "by_namespace": totals(cells, "namespace_id", "namespace"),
        "by_action": totals(cells, "action", "action"),
    }
    page = await user.page("/usage?month=2026-11")
    matrix = page.one("div", _class="matrix")
    assert [
        [each.text for each in row.all() if each.tag in ("th", "td")] for row in matrix.all("tr")
    ] == [
        ["Namespace", "Cost", "All Actions", "Start workflow", "Start timer"],
        [wrapping(NAMESPACE), "$0.0014", "27", "20", "7"],
        [wrapping(f"staging.{ACCOUNT}"), "$0.00015", "3", "3", "0"],
        ["All namespaces", "$0.0015", "30", "23", "7"],
        ["Cost", "", "$0.0015", "$0.0012", "$0.00035"],
    ]


async def test_a_deleted_namespace_has_a_row_of_its_own_that_says_so(user: Visitor) -> None:
    deleted = f"{NAMESPACE} (deleted 2026-11-07)"
    cells = [
        cell("start_workflow", 20, "0.0010"),
        cell("start_workflow", 3, "0.00015", deleted),
    ]
    user.cloud.cost = {
        **sample_cost(datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        "by_namespace_and_action": cells,
        "by_namespace": totals(cells, "namespace_id", "namespace"),
    }
    page = await user.page("/usage?month=2026-11")
    rows = [row.text for row in page.one("div", _class="matrix").all("tr")]
    assert rows[1].startswith(f"{wrapping(NAMESPACE)} $0.0010")
    assert rows[2].startswith(f"{wrapping(NAMESPACE)} (deleted 2026-11-07) $0.00015")


def wrapping(name: str) -> str:
    """A name that may go on in a second line before its account."""
    return name.replace(".", " .")


async def test_a_day_is_shown_hour_by_hour(user: Visitor) -> None:
    first = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) // 3600
    user.cloud.hours = [
        (first - 1, "a", 900),
        (first, "a", 2),
        (first + 23, "a", 3),
        (first + 23, "b", 4),
        (first + 24, "a", 800),
    ]
    page = await user.page("/usage?day=2026-11-20")
    titles = [each.text for each in page.all("title") if each.within("svg")]
    assert titles == ["00:00 to 01:00: 2 Actions", "23:00 to 24:00: 7 Actions"]
    rows = [each.text for each in page.all("tr")]
    assert "23:00 to 24:00 7 $0.00020" in rows
    assert "/usage?day=2026-11-19#chart" in page.links()
    assert "/usage?month=2026-11#chart" in page.links()


async def test_a_day_without_usage_says_so(user: Visitor) -> None:
    page = await user.page("/usage?day=2026-11-02")
    assert "Nothing used on this day" in page.text


async def test_the_first_month_has_none_before_it(user: Visitor) -> None:
    page = await user.page("/usage?month=2026-01")
    assert not page.all("a", rel="prev")
    assert not (await user.page("/usage?day=2026-01-01")).all("a", rel="prev")


async def test_this_month_has_none_after_it(user: Visitor) -> None:
    assert not (await user.page("/usage")).all("a", rel="next")
    assert not (await user.page(f"/usage?day={datetime.now(UTC).date()}")).all("a", rel="next")


async def test_a_month_without_usage_says_so(user: Visitor) -> None:
    user.cloud.cost = {"actions": 0, "currency": "usd", "total": "0", "by_day": []}
    page = await user.page("/usage?month=2026-01")
    assert "Nothing used in this month" in page.text
    assert not page.all("rect", _class="bar")


@pytest.mark.parametrize("month", ["2026-13", "26-01", "2026-1", "1999-12", "' OR 1=1"])
async def test_what_is_no_month_is_no_page(user: Visitor, month: str) -> None:
    response = await user.client.get("/usage", params={"month": month})
    assert response.status_code == 404


@pytest.mark.parametrize("day", ["2026-02-29", "2026-1-1", "20260101", "2025-12-31", "2026-11"])
async def test_what_is_no_day_is_no_page(user: Visitor, day: str) -> None:
    response = await user.client.get("/usage", params={"day": day})
    assert response.status_code == 404


@pytest.mark.parametrize("top", [1, 4, 5, 99, 100, 101, 4_000_001])
def test_the_highest_bar_fits_and_the_ticks_are_whole(top: int) -> None:
    chart = month_chart(date(2026, 2, 1), {date(2026, 2, 3): top, date(2026, 2, 28): 1})
    assert len(chart.bars) == 28
    assert max(bar.height_pixels for bar in chart.bars) <= HEIGHT_PIXELS
    assert chart.ticks[-1].value >= top
    assert [t.value * 4 for t in chart.ticks] == [chart.ticks[-1].value * n for n in range(5)]
    assert chart.bars[27].height_pixels > 0


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("1234.5", "$1,234.50"),
        ("0.01", "$0.01"),
        ("0.00995", "$0.01"),
        ("0.0099", "$0.0099"),
        ("0.000000001", "$0.00"),
        ("0.0000496", "$0.000050"),
        (None, "$0.00"),
    ],
)
def test_money_below_a_cent_keeps_what_it_says(amount: str | None, text: str) -> None:
    assert money(amount) == text
