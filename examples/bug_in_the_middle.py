"""The bug in the middle: a thousand open workflows hit an exception in their own code, and wait.

An exception that is no failure of the workflow's domain fails the workflow task, not the workflow.
The cloud repeats the task until a fixed worker is deployed, and every workflow goes on from where
it was, with the results that its activities have already given.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from examples.connection import connect
from perdure import Client, Worker, activity, workflow
from perdure.client import WorkflowHandle

TASK_QUEUE = "bug-in-the-middle"
WORKFLOWS = 1_000
PRICES = {"pen": 3, "book": 20}


@dataclass
class Warehouse:
    """Stands for a warehouse; counts what it was asked."""

    reserved: Counter[str] = field(default_factory=Counter)

    @activity.defn
    async def reserve(self, order: str, item: str) -> str:
        """Reserve an item; answers its name in the price list."""
        self.reserved[order] += 1
        return item.lower()


async def reserve(item: str) -> str:
    """The part that both versions share."""
    name: str = await workflow.execute_activity(
        Warehouse.reserve,
        workflow.info().workflow_id,
        item,
        start_to_close_timeout=timedelta(seconds=10),
    )
    return name


@workflow.defn(name="Order")
class BuggyOrder:
    """What was deployed on Friday."""

    @workflow.run
    async def run(self, item: str) -> int:
        await reserve(item)
        return PRICES[item]  # A KeyError for "Book": the warehouse's name was meant.


@workflow.defn(name="Order")
class FixedOrder:
    """What is deployed on Monday."""

    @workflow.run
    async def run(self, item: str) -> int:
        return PRICES[await reserve(item)]


def worker(client: Client, order: type, warehouse: Warehouse) -> Worker:
    """A worker with one of the two versions."""
    return Worker(client, task_queue=TASK_QUEUE, workflows=[order], activities=[warehouse.reserve])


async def until_it_breaks(handle: WorkflowHandle) -> None:
    """Wait for the event that tells of the exception."""
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_FAILED":
            return


async def friday(client: Client, warehouse: Warehouse, count: int) -> list[WorkflowHandle]:
    """Start workflows, and let all of them hit the bug."""
    batch = uuid4().hex[:8]
    async with worker(client, BuggyOrder, warehouse):
        handles = [
            await client.start_workflow(
                "Order",
                "Book",
                id=f"order-{batch}-{number}",
                task_queue=TASK_QUEUE,
                result_type=int,
            )
            for number in range(count)
        ]
        for handle in handles:
            await until_it_breaks(handle)
    return handles


async def monday(client: Client, warehouse: Warehouse, handles: list[WorkflowHandle]) -> list[int]:
    """Deploy the fix; the results are those of the workflows that waited."""
    async with worker(client, FixedOrder, warehouse):
        return list(await asyncio.gather(*(handle.result() for handle in handles)))


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.bug_in_the_middle")
    parser.add_argument("--count", type=int, default=WORKFLOWS)
    warehouse = Warehouse()
    async with await connect() as client:
        handles = await friday(client, warehouse, parser.parse_args().count)
        results = await monday(client, warehouse, handles)
    asked_twice = sum(count > 1 for count in warehouse.reserved.values())
    print(f"{len(results)} orders, sum {sum(results)}; {asked_twice} items were reserved twice")


if __name__ == "__main__":
    asyncio.run(main())
