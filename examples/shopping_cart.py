"""A shopping cart that reminds its owner when it was left alone, and gives up after a while."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from examples.connection import connect
from perdure import Worker, activity, workflow

TASK_QUEUE = "shopping-cart"
PATIENCE = timedelta(hours=24)
REMINDERS_MAX = 2
SHOP_TIMEOUT = timedelta(seconds=10)


@dataclass
class Shop:
    """Stands for the shop's mail and order services."""

    reminders: list[str] = field(default_factory=list)
    orders: dict[str, dict[str, int]] = field(default_factory=dict)

    @activity.defn
    async def remind(self, cart: str, items: dict[str, int]) -> None:
        """Write to the owner of a cart that was left alone."""
        self.reminders.append(f"{cart} still holds {', '.join(items)}")

    @activity.defn
    async def place_order(self, cart: str, items: dict[str, int]) -> None:
        """Order what is in the cart; a second order of the same cart is the same order."""
        self.orders[cart] = items


@workflow.defn
class ShoppingCart:
    """One visitor's cart, from the first item to the order."""

    def __init__(self) -> None:
        self._items: dict[str, int] = {}
        self._changes = 0
        self._is_checked_out = False

    @workflow.run
    async def run(self, patience_seconds: float) -> str:
        """How it ended: "ordered" or "abandoned"."""
        reminders = 0
        while not self._is_checked_out:
            if await self._left_alone(timedelta(seconds=patience_seconds)):
                if reminders == REMINDERS_MAX or not self._items:
                    return "abandoned"
                reminders += 1
                await self._ask(Shop.remind)
            else:
                reminders = 0
        await self._ask(Shop.place_order)
        return "ordered"

    async def _left_alone(self, patience: timedelta) -> bool:
        """Whether nothing happened to the cart for that long."""
        seen = self._changes
        try:
            await workflow.wait_condition(lambda: self._changes != seen, timeout=patience)
        except TimeoutError:
            return True
        return False

    async def _ask(self, step: Callable[..., Awaitable[None]]) -> None:
        await workflow.execute_activity(
            step,
            workflow.info().workflow_id,
            dict(self._items),
            start_to_close_timeout=SHOP_TIMEOUT,
        )

    @workflow.signal
    def put(self, item: str, count: int) -> None:
        """Set how many of an item are in the cart; 0 takes it out."""
        self._changes += 1
        if count > 0:
            self._items[item] = count
        else:
            self._items.pop(item, None)

    @workflow.signal
    def check_out(self) -> None:
        self._changes += 1
        self._is_checked_out = bool(self._items)

    @workflow.query
    def items(self) -> dict[str, int]:
        return self._items


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.shopping_cart")
    parser.add_argument("--patience", type=float, default=3.0, help="seconds, instead of a day")
    patience_seconds = parser.parse_args().patience
    shop = Shop()
    async with (
        await connect() as client,
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[ShoppingCart],
            activities=[shop.remind, shop.place_order],
        ),
    ):
        handle = await client.start_workflow(
            ShoppingCart.run, patience_seconds, id=f"cart-{uuid4()}", task_queue=TASK_QUEUE
        )
        await handle.signal(ShoppingCart.put, args=["book", 2])
        await asyncio.sleep(patience_seconds * 1.5)
        await handle.signal(ShoppingCart.check_out)
        print(f"{await handle.result()}: {shop.orders}", *shop.reminders, sep="\n  ")


if __name__ == "__main__":
    asyncio.run(main())
