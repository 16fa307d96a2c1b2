"""Workflows that met a bug in their own code wait for the fix, and repeat nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from examples.bug_in_the_middle import PRICES, WORKFLOWS, Warehouse, friday, monday
from tests.examples.cloud import Cloud

pytestmark = [pytest.mark.anyio, pytest.mark.allow_log("workflow_task_failed")]


@pytest.mark.parametrize(
    "count", [20, pytest.param(WORKFLOWS, marks=pytest.mark.ci)], ids=["a_few", "a_thousand"]
)
async def test_all_finish_after_the_fix_is_deployed(cloud: Cloud, count: int) -> None:
    warehouse = Warehouse()
    async with await cloud.connect() as client:
        handles = await friday(client, warehouse, count)
        await cloud.skip(timedelta(days=3))
        results = await monday(client, warehouse, handles)
    assert results == [PRICES["book"]] * count
    assert set(warehouse.reserved.values()) == {1}
    assert len(warehouse.reserved) == count
