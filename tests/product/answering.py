"""A customer's worker in a process of its own, which answers every query about its one workflow.

The fuzz keeps its own event loop busy and its own random numbers in order.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from perdure import Client, Worker, workflow
from perdure.converter import RawValue
from tests.product.client import Access
from tests.product.server import ROOT, Product

QUEUE = "answering"
END_SECONDS_MAX = 30
LONG = timedelta(hours=1)


@workflow.defn
class Answering:
    """Does nothing else."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(LONG)

    @workflow.query(dynamic=True)
    def answer(self, name: str, values: list[RawValue]) -> tuple[str, int]:
        return name, len(values)


@contextmanager
def answering(product: Product, access: Access) -> Iterator[dict[str, str]]:
    """Yields the ids of a workflow that is queried with success while the context lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.product.answering"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        bufsize=1,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([product.address, access.namespace, access.key]) + "\n")
        ids: dict[str, str] = json.loads(process.stdout.readline())
        try:
            yield ids
        finally:
            process.stdin.close()
            assert process.wait(END_SECONDS_MAX) == 0


async def work() -> None:
    """Answers the line with the address and the key by the ids; ends with its input."""
    address, namespace, key = json.loads(sys.stdin.readline())
    async with (
        await Client.connect(address, namespace=namespace, api_key=key) as client,
        Worker(client, task_queue=QUEUE, workflows=[Answering]),
    ):
        handle = await client.start_workflow(Answering.run, id="answering", task_queue=QUEUE)
        await handle.query("is it there?")
        ids = {"workflow_id": handle.id, "run_id": handle.first_execution_run_id}
        sys.stdout.write(json.dumps(ids) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(work())
