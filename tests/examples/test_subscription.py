"""A customer pays every 30 days and leaves when they like."""

from __future__ import annotations

from datetime import timedelta

import pytest

from examples.subscription import PERIOD, PERIODS_PER_RUN, TASK_QUEUE, Office, Plan, Subscription
from perdure import Client, Worker
from tests.examples.cloud import Cloud, until

pytestmark = pytest.mark.anyio


def worker(client: Client, office: Office) -> Worker:
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Subscription],
        activities=[office.charge, office.send_mail],
    )


async def test_a_period_is_charged_when_thirty_days_are_over_and_not_before(cloud: Cloud) -> None:
    office = Office()
    async with await cloud.connect() as client, worker(client, office):
        handle = await client.start_workflow(
            Subscription.run, Plan("ada", 900), id="s", task_queue=TASK_QUEUE
        )
        for number in (1, 2):
            await until(handle, "TIMER_STARTED", number)
            await cloud.skip(PERIOD - timedelta(hours=1))
            assert await handle.query(Subscription.periods_charged) == number - 1
            await cloud.skip(timedelta(hours=1))
        await until(handle, "TIMER_STARTED", 3)
        await handle.signal(Subscription.cancel_subscription)
        assert await handle.result() == 2
    assert office.payments == {"s/1": 900, "s/2": 900}
    assert [mail.partition(": ")[2] for mail in office.mails] == [
        "thank you for period 1",
        "thank you for period 2",
        "we are sorry to see you go",
    ]


async def test_a_year_of_periods_continues_as_a_new_run(cloud: Cloud) -> None:
    office = Office()
    plan = Plan("ada", 900, period_seconds=0.001, charged=PERIODS_PER_RUN)
    async with await cloud.connect() as client, worker(client, office):
        handle = await client.start_workflow(Subscription.run, plan, id="s", task_queue=TASK_QUEUE)
        first_run = client.get_workflow_handle("s", run_id=handle.result_run_id)
        await until(first_run, "WORKFLOW_EXECUTION_CONTINUED_AS_NEW")
        await handle.terminate()
        [started, *_] = (await handle.fetch_history()).events
    attributes = started["workflowExecutionStartedEventAttributes"]
    assert attributes["firstExecutionRunId"] == handle.result_run_id
    assert attributes["continuedExecutionRunId"]
    assert f"s/{2 * PERIODS_PER_RUN}" in office.payments
