"""The page of usage and cost."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from tests.web.conftest import Visitor
from tests.web.fake_cloud import NAMESPACE, sample_cost
from web.chart import HEIGHT_PIXELS, month_chart
from web.formats import money


async def test_a_month_shows_its_cost_by_namespace_action_and_line(user: Visitor) -> None:
    user.cloud.cost = sample_cost(datetime(2026, 11, 20, 9, 30, tzinfo=UTC))
    page = await user.page("/usage?month=2026-11")
    assert "$25.31" in page.text
    rows = [each.text for each in page.all("tr")]
    assert any(row.startswith(NAMESPACE) and row.endswith("$0.31") for row in rows)
    assert any(row.startswith("Start workflow") for row in rows)
    assert "Total $25.31" in rows
    assert len(page.all("rect", _class="bar")) == 20
    assert "/usage?month=2026-10" in page.links()


async def test_a_month_without_usage_says_so(user: Visitor) -> None:
    user.cloud.cost = {"actions": 0, "currency": "usd", "total": "0", "by_day": []}
    page = await user.page("/usage?month=2026-01")
    assert "Nothing used in this month" in page.text
    assert not page.all("rect", _class="bar")


@pytest.mark.parametrize("month", ["2026-13", "26-01", "2026-1", "1999-12", "' OR 1=1"])
async def test_what_is_no_month_is_no_page(user: Visitor, month: str) -> None:
    response = await user.client.get("/usage", params={"month": month})
    assert response.status_code == 404


@pytest.mark.parametrize("top", [1, 4, 5, 99, 100, 101, 4_000_001])
def test_the_highest_bar_fits_and_the_ticks_are_whole(top: int) -> None:
    chart = month_chart(date(2026, 2, 1), {"2026-02-03": top, "2026-02-28": 1})
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
        ("0.0000496", "$0.000050"),
        (None, "$0.00"),
    ],
)
def test_money_below_a_cent_keeps_what_it_says(amount: str | None, text: str) -> None:
    assert money(amount) == text
