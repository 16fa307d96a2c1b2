"""A cart is ordered, or its owner is reminded and it is given up."""

from __future__ import annotations

import pytest

from examples.shopping_cart import PATIENCE, REMINDERS_MAX, TASK_QUEUE, Shop, ShoppingCart
from perdure import Client, Worker
from perdure.client import WorkflowHandle
from tests.examples.cloud import Cloud, until

pytestmark = pytest.mark.anyio


def worker(client: Client, shop: Shop) -> Worker:
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[ShoppingCart],
        activities=[shop.remind, shop.place_order],
    )


async def open_cart(client: Client) -> WorkflowHandle:
    return await client.start_workflow(
        ShoppingCart.run, PATIENCE.total_seconds(), id="cart", task_queue=TASK_QUEUE
    )


async def test_what_is_in_the_cart_is_ordered(cloud: Cloud) -> None:
    shop = Shop()
    async with await cloud.connect() as client, worker(client, shop):
        handle = await open_cart(client)
        for item, count in (("book", 2), ("pen", 1), ("pen", 0)):
            await handle.signal(ShoppingCart.put, args=[item, count])
        assert await handle.query(ShoppingCart.items) == {"book": 2}
        await handle.signal(ShoppingCart.check_out)
        assert await handle.result() == "ordered"
    assert shop.orders == {"cart": {"book": 2}}
    assert shop.reminders == []


async def test_a_cart_left_alone_is_reminded_of_and_then_given_up(cloud: Cloud) -> None:
    shop = Shop()
    async with await cloud.connect() as client, worker(client, shop):
        handle = await open_cart(client)
        await handle.signal(ShoppingCart.put, args=["book", 1])
        for number in range(REMINDERS_MAX + 1):
            # The first wait ends with the item; each later one with a day of silence.
            await until(handle, "TIMER_STARTED", number + 2)
            await cloud.skip(PATIENCE)
        assert await handle.result() == "abandoned"
    assert shop.reminders == ["cart still holds book"] * REMINDERS_MAX
    assert shop.orders == {}


async def test_an_empty_cart_cannot_be_checked_out(cloud: Cloud) -> None:
    shop = Shop()
    async with await cloud.connect() as client, worker(client, shop):
        handle = await open_cart(client)
        await handle.signal(ShoppingCart.check_out)
        await until(handle, "TIMER_STARTED", 2)
        await cloud.skip(PATIENCE)
        assert await handle.result() == "abandoned"
    assert shop.orders == {}
