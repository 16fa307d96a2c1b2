"""Pollers and a client for the floor, doing what the product's driver does on the floor's wire."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.http_client import BrokenAnswer, HttpClient
from benchmarks.load import Failed, Tally, Target, beside
from benchmarks.servers import free_port, running

POLLERS = 64
QUEUE = "floor"
COMPLETED = "ActivityTaskCompleted"

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class FloorDriver:
    """Workflows of `activities` steps in sequence; the result carries what the start passed in."""

    def __init__(self, client: HttpClient, tally: Tally, activities: int, ack_only: bool) -> None:
        self._client = client
        self._tally = tally
        self._activities = activities
        self._ack_only = ack_only
        self._numbers = itertools.count()

    async def operation(self, due: float) -> float:
        """Start a workflow and wait for its result; the latency is the start's or the result's."""
        number = next(self._numbers)
        argument = f"hello from caller {number}, some text of a realistic size"
        started = await self._call(
            "/start", workflow_id=f"floor-{number}", queue=QUEUE, argument=argument
        )
        acknowledged = time.perf_counter()
        result = await self._call("/result", number=started)
        if result != argument:
            self._tally.note(f"result of floor-{number} is {result!r}")
            raise Failed
        return (acknowledged if self._ack_only else time.perf_counter()) - due

    def pollers(self) -> list[Coroutine[None, None, None]]:
        return [
            poller()
            for poller in (self._poll_workflow_tasks, self._poll_activity_tasks)
            for _ in range(POLLERS)
        ]

    async def _poll_workflow_tasks(self) -> None:
        while True:
            task = await self._call("/poll-workflow-task", queue=QUEUE)
            command = decide(task["history"], self._activities)
            await self._call("/workflow-task-complete", number=task["run"], command=command)

    async def _poll_activity_tasks(self) -> None:
        while True:
            task = await self._call("/poll-activity-task", queue=QUEUE)
            await self._call("/activity-complete", number=task["run"], result=task["input"])

    async def _call(self, path: str, **arguments: Any) -> Any:
        answer = await self._client.request("POST", path, encode(arguments))
        if answer.status != 200:
            raise BrokenAnswer(f"the floor answered {answer.status} on {path}")
        return decode(answer.body)


def decide(history: list[list[Any]], activities: int) -> dict[str, Any]:
    """The workflow's code: so many activities one after the other, then their last result."""
    results = [attributes["result"] for *_, kind, attributes in history if kind == COMPLETED]
    if len(results) < activities:
        return {"activity": history[0][-1]["input"]}
    return {"result": results[-1]}


@asynccontextmanager
async def floor_target(
    data: Path, activities: int, *, ack_only: bool = False
) -> AsyncIterator[Target]:
    """Run the floor and its workers."""
    port = free_port()
    arguments = ("--data", str(data), "--port", str(port))
    async with running(port, "benchmarks.floor", *arguments) as pid, HttpClient(port) as client:
        tally = Tally()
        driver = FloorDriver(client, tally, activities, ack_only)
        async with beside(driver.pollers()):
            yield Target("floor", pid, driver.operation, tally)
