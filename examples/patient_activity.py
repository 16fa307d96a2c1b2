"""An activity whose service is down for three days. The workflow does not know, and need not.

There is no loop, no queue of failed jobs and nobody on call: the cloud repeats the attempt, at most
an hour apart, until the service is back.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from examples.connection import connect
from perdure import Worker, activity, workflow
from perdure.policies import RetryPolicy

TASK_QUEUE = "patient-activity"
OUTAGE = timedelta(days=3)
RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(hours=1),
)


@dataclass
class ReportService:
    """Stands for a service that is down until a time of its clock."""

    up_at: float
    clock: Callable[[], float]
    attempts: int = 0

    @activity.defn
    async def file_report(self, title: str) -> str:
        """File a report; answers its number."""
        self.attempts += 1
        if self.clock() < self.up_at:
            raise ConnectionError("the report service is down")
        return f"{title} is number {self.attempts}"


@workflow.defn
class FileReport:
    """Files one report, however long it takes."""

    @workflow.run
    async def run(self, title: str) -> str:
        result: str = await workflow.execute_activity(
            ReportService.file_report,
            title,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RETRY,
        )
        return result


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.patient_activity")
    parser.add_argument("--outage", type=float, default=10.0, help="seconds, instead of three days")
    service = ReportService(time.monotonic() + parser.parse_args().outage, time.monotonic)
    async with (
        await connect() as client,
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[FileReport],
            activities=[service.file_report],
        ),
    ):
        result = await client.execute_workflow(
            FileReport.run, "Q3", id=f"report-{uuid4()}", task_queue=TASK_QUEUE
        )
    print(f"{result}, after {service.attempts} attempts")


if __name__ == "__main__":
    asyncio.run(main())
