"""How a worker starts, waits for an absent cloud, and ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from perdure import activity
from perdure.client import Client
from perdure.exceptions import DefinitionError, RPCError, RPCStatusCode
from perdure.protojson import Message
from perdure.worker import Worker
from tests.sdk.door import Door, Refusal
from tests.sdk.tasks import run_one, task, values, worker


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    async with door.client() as client:
        yield client


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


async def test_a_worker_takes_no_more_than_its_slots(door: Door, client: Client) -> None:
    begun: asyncio.Queue[None] = asyncio.Queue()
    release = asyncio.Event()

    @activity.defn
    async def work() -> None:
        begun.put_nowait(None)
        await release.wait()

    async with worker(
        client, work, max_concurrent_activities=2, graceful_shutdown_timeout=timedelta(hours=1)
    ):
        for _ in range(3):
            door.activity_tasks.put_nowait(task("work"))
        await begun.get()
        await begun.get()
        assert begun.empty()
        assert door.activity_tasks.qsize() == 1
        release.set()
        await begun.get()


async def test_stopping_lets_activities_finish_within_their_grace(
    door: Door, client: Client
) -> None:
    begun = asyncio.Event()

    @activity.defn
    async def work() -> str:
        begun.set()
        while not activity.is_worker_shutdown():  # noqa: ASYNC110 - there is no event for it.
            await asyncio.sleep(0)
        return "finished"

    async with worker(client, work, graceful_shutdown_timeout=timedelta(hours=1)) as running:
        door.activity_tasks.put_nowait(task("work"))
        await begun.wait()
        await running.shutdown()
    assert values((await door.called("RespondActivityTaskCompleted"))["result"]) == ["finished"]


@pytest.mark.allow_log("activity_failed")
async def test_after_the_grace_activities_are_given_back(door: Door, client: Client) -> None:
    begun = asyncio.Event()

    @activity.defn
    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with worker(client, work):
        door.activity_tasks.put_nowait(task("work"))
        await begun.wait()
    reported = await door.called("RespondActivityTaskFailed")
    assert reported["failure"]["applicationFailureInfo"]["type"] == "WorkerShutdown"


@pytest.mark.allow_log("poll_failed")
async def test_a_worker_polls_on_when_the_server_comes_back(door: Door, client: Client) -> None:
    outages: list[Exception] = [
        httpx.ConnectError("down"),
        httpx.ReadError("cut"),
        Refusal(RPCStatusCode.UNAVAILABLE),
    ] * 10

    async def poll(_: Message) -> Message:
        if outages:
            raise outages.pop()
        return await door.activity_tasks.get()

    door.answers["PollActivityTaskQueue"] = poll
    async with worker(client, greet, max_concurrent_activity_task_polls=1):
        await run_one(door, task("greet", "Ada"), "RespondActivityTaskCompleted")
    assert len(door.waits) == 30


@pytest.mark.allow_log("poll_failed")
async def test_an_outage_of_all_polls_is_said_once(
    door: Door, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    outages = [httpx.ConnectError("down")] * 30

    async def poll(_: Message) -> Message:
        if outages:
            raise outages.pop()
        return await door.activity_tasks.get()

    door.answers["PollActivityTaskQueue"] = poll
    async with worker(client, greet, max_concurrent_activity_task_polls=5):
        await run_one(door, task("greet", "Ada"), "RespondActivityTaskCompleted")
    assert [record.getMessage() for record in caplog.records].count("poll_failed") == 1


@pytest.mark.allow_log("poll_failed")
async def test_a_worker_whose_key_is_refused_gives_up_and_says_so(
    door: Door, client: Client
) -> None:
    def refuse(_: Message) -> Message:
        raise Refusal(RPCStatusCode.UNAUTHENTICATED, "the API key is revoked")

    door.answers["PollActivityTaskQueue"] = refuse
    with pytest.raises(RPCError, match="revoked"):
        await worker(client, greet).run()
    with pytest.raises(RPCError, match="revoked"):
        async with worker(client, greet):
            await asyncio.Event().wait()


async def test_a_cancelled_worker_ends_in_good_order(door: Door, client: Client) -> None:
    running = worker(client, greet)
    task_of_run = asyncio.create_task(running.run())
    await door.called("PollActivityTaskQueue")
    task_of_run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task_of_run
    assert not running.is_running
    with pytest.raises(RuntimeError, match="a worker runs once"):
        await running.run()


async def test_a_worker_needs_something_to_do_and_room_to_do_it(client: Client) -> None:
    with pytest.raises(DefinitionError, match="at least one workflow or activity"):
        Worker(client, task_queue="queue")
    with pytest.raises(ValueError, match="max_concurrent_activities must be at least 1, not 0"):
        worker(client, greet, max_concurrent_activities=0)
    with pytest.raises(ValueError, match="max_concurrent_workflow_tasks must be at least 2"):
        worker(client, greet, max_concurrent_workflow_tasks=1)
    with pytest.raises(DefinitionError, match=r"not decorated with @activity\.defn"):
        worker(client, threading.Event)
