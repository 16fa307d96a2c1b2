"""A service may be down for three days; the report is filed when it is back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from examples.patient_activity import OUTAGE, TASK_QUEUE, FileReport, ReportService
from perdure import Worker
from perdure.client import WorkflowHandle
from tests.examples.cloud import Cloud

pytestmark = pytest.mark.anyio


async def until_it_waits(handle: WorkflowHandle) -> None:
    """Until the failed attempt is recorded and the next one has its time."""
    state = ""
    while state != "PENDING_ACTIVITY_STATE_SCHEDULED":
        [pending] = (await handle.describe()).raw_description["pendingActivities"]
        state = pending["state"]


@pytest.mark.allow_log("activity_failed")
async def test_an_activity_is_repeated_until_its_service_is_back(cloud: Cloud) -> None:
    asked = asyncio.Event()

    def clock() -> float:
        asked.set()
        return cloud.env.now_ns() / 1e9

    service = ReportService(up_at=clock() + OUTAGE.total_seconds(), clock=clock)
    async with (
        await cloud.connect() as client,
        Worker(
            client, task_queue=TASK_QUEUE, workflows=[FileReport], activities=[service.file_report]
        ),
    ):
        handle = await client.start_workflow(
            FileReport.run, "Q3", id="report", task_queue=TASK_QUEUE
        )
        for _ in range(OUTAGE.days):
            asked.clear()
            await asked.wait()
            await until_it_waits(handle)
            await cloud.skip(timedelta(days=1))
        result = await handle.result()
    assert service.attempts > OUTAGE.days
    assert result == f"Q3 is number {service.attempts}"
