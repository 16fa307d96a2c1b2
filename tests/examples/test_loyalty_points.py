"""Points add up, levels are told once, and a long membership is many runs."""

from __future__ import annotations

import asyncio

import pytest

from examples.loyalty_points import (
    SIGNALS_PER_RUN,
    TASK_QUEUE,
    LoyaltyPoints,
    MailServer,
    Membership,
    level_of,
)
from perdure import Client, Worker, activity
from tests.examples.cloud import Cloud, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("points", "level"), [(0, "basic"), (499, "basic"), (500, "gold"), (1_000, "platinum")]
)
def test_a_level_begins_at_its_threshold(points: int, level: str) -> None:
    assert level_of(points) == level


def worker(client: Client, server: MailServer) -> Worker:
    return Worker(
        client, task_queue=TASK_QUEUE, workflows=[LoyaltyPoints], activities=[server.congratulate]
    )


class SlowMailServer(MailServer):
    """Keeps every mail until it may send."""

    def __init__(self) -> None:
        super().__init__()
        self.may_send = asyncio.Event()

    @activity.defn
    async def congratulate(self, customer: str, level: str) -> None:
        await self.may_send.wait()
        await super().congratulate(customer, level)


@pytest.mark.parametrize("is_slow", [False, True])
async def test_each_level_is_told_once(cloud: Cloud, is_slow: bool) -> None:
    """However long a mail takes, what happens meanwhile is seen at once and told in its turn."""
    server = SlowMailServer()
    if not is_slow:
        server.may_send.set()
    async with await cloud.connect() as client, worker(client, server):
        handle = await client.start_workflow(
            LoyaltyPoints.run, Membership(), id="ada", task_queue=TASK_QUEUE
        )
        for points, level in ((300, "basic"), (300, "gold"), (-200, "basic"), (900, "platinum")):
            await handle.signal(LoyaltyPoints.add_points, points)
            membership = await handle.query(LoyaltyPoints.membership)
            assert membership.level == level
        await handle.signal(LoyaltyPoints.leave)
        server.may_send.set()
        assert await handle.result() == 1_300
    assert server.mails == ["ada is gold", "ada is platinum"]


async def test_every_signal_counts_though_runs_change(cloud: Cloud) -> None:
    count = SIGNALS_PER_RUN + 50
    async with await cloud.connect() as client, worker(client, MailServer()):
        handle = await client.start_workflow(
            LoyaltyPoints.run, Membership(), id="ada", task_queue=TASK_QUEUE
        )
        current = client.get_workflow_handle("ada", result_type=int)
        for _ in range(0, count, 50):
            await asyncio.gather(*(current.signal(LoyaltyPoints.add_points, 1) for _ in range(50)))
        first_run = client.get_workflow_handle("ada", run_id=handle.result_run_id)
        await until(first_run, "WORKFLOW_EXECUTION_CONTINUED_AS_NEW")
        await current.signal(LoyaltyPoints.leave)
        assert await handle.result() == count
