"""The server is killed in the middle; the worker goes on by itself and the workflow finishes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from perdure import Client, Worker, activity, workflow
from perdure.exceptions import WorkflowFailureError
from perdure.transport import RETRY_SECONDS_MAX, Transport
from tests.product.client import open_account
from tests.product.server import Product

QUEUE = "kill"
LONG = timedelta(hours=1)
RESULT_SECONDS_MAX = 60


class Workshop:
    """An activity that the test lets begin and end."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.began_count = 0

    @activity.defn
    async def build(self, what: str) -> str:
        self.began_count += 1
        self.has_begun.set()
        await self.may_end.wait()
        return f"{what} is built"


@workflow.defn
class Order:
    def __init__(self) -> None:
        self.address = ""

    @workflow.run
    async def run(self, what: str) -> str:
        built = await workflow.execute_activity("build", what, start_to_close_timeout=LONG)
        await workflow.wait_condition(lambda: bool(self.address))
        await workflow.sleep(timedelta(milliseconds=10))
        return f"{built} and sent to {self.address}"

    @workflow.signal
    def deliver(self, address: str) -> None:
        self.address = address

    @workflow.query
    def where(self) -> str:
        return self.address


# While the server is away polls fail, which the worker says once for each of its polls.
@pytest.mark.allow_log("poll_failed")
async def test_a_workflow_finishes_though_its_server_was_killed(product: Product) -> None:
    access = await open_account(product)
    workshop = Workshop()
    async with (
        asyncio.timeout(RESULT_SECONDS_MAX),
        await Client.connect(
            product.address, namespace=access.namespace, api_key=access.key
        ) as client,
        Worker(client, task_queue=QUEUE, workflows=[Order], activities=[workshop.build]),
    ):
        handle = await client.start_workflow(Order.run, "a chair", id="order", task_queue=QUEUE)
        waiting = asyncio.create_task(handle.result())
        await workshop.has_begun.wait()
        await handle.signal(Order.deliver, "Ada")
        product.kill()
        # The activity ends while nobody is there to be told.
        workshop.may_end.set()
        await product.start()
        assert await waiting == "a chair is built and sent to Ada"
        assert await handle.query(Order.where) == "Ada"
    assert workshop.began_count == 1
    await access.owner.http.aclose()


class Patience:
    """A client's pauses. They take no time until they sum up to what fails any other call.

    From then on nobody asks again before the server is back.
    """

    def __init__(self, product: Product) -> None:
        self.is_over = asyncio.Event()
        self.waited_seconds = 0.0
        self._product = product

    async def pause(self, seconds: float) -> None:
        self.waited_seconds += seconds
        if self.waited_seconds > RETRY_SECONDS_MAX:
            self.is_over.set()
            await self._product.answering.wait()


@pytest.mark.allow_log("waiting_for_server")
async def test_who_waits_for_a_result_outlasts_a_long_outage(product: Product) -> None:
    access = await open_account(product)
    patience = Patience(product)
    transport = Transport(product.address, api_key=access.key, sleep=patience.pause)
    async with (
        asyncio.timeout(RESULT_SECONDS_MAX),
        Client(transport, access.namespace) as client,
    ):
        handle = await client.start_workflow(Order.run, "a table", id="order", task_queue=QUEUE)
        waiting = asyncio.create_task(handle.result())
        product.kill()
        await patience.is_over.wait()
        await product.start()
        await handle.terminate(reason="enough")
        with pytest.raises(WorkflowFailureError, match="enough"):
            await waiting
    await access.owner.http.aclose()
