"""A worker doing activity tasks for a scripted cloud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from perdure import activity
from perdure.client import Client
from perdure.converter import DataConverter
from perdure.encryption import AesGcmCodec
from perdure.exceptions import ApplicationError, RPCStatusCode
from perdure.protojson import Message
from perdure.worker.heartbeats import Heartbeats
from tests.sdk.door import Door, Refusal
from tests.sdk.tasks import payloads, run_one, task, values, worker

CANARY = "canary-of-clear-text"


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    async with door.client() as client:
        yield client


@activity.defn(name="double")
def double_it(number: int) -> int:
    return 2 * number


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


class Ledger:
    def __init__(self) -> None:
        self.names: list[str] = []

    @activity.defn
    async def note(self, name: str) -> int:
        self.names.append(name)
        return len(self.names)


async def test_async_functions_threads_and_methods_all_complete(door: Door, client: Client) -> None:
    ledger = Ledger()
    async with worker(client, greet, double_it, ledger.note):
        for given, result in (
            (task("greet", "Ada"), "Hello, Ada!"),
            (task("double", 21), 42),
            (task("note", "Bo"), 1),
        ):
            reported = await run_one(door, given, "RespondActivityTaskCompleted")
            assert values(reported["result"]) == [result]
            assert reported["identity"] == "tester"
    assert ledger.names == ["Bo"]


async def test_an_activity_knows_its_attempt(door: Door, client: Client) -> None:
    seen: list[activity.Info] = []

    @activity.defn
    async def look() -> None:
        assert activity.in_activity()
        seen.append(activity.info())

    async with worker(client, look):
        given = task("look", heartbeatDetails=payloads(5), heartbeatTimeout="9s")
        await run_one(door, given, "RespondActivityTaskCompleted")
    (info,) = seen
    assert (info.activity_id, info.workflow_id, info.workflow_run_id) == ("7", "w", "r")
    assert (info.attempt, info.task_queue, list(info.heartbeat_details)) == (2, "queue", [5])
    assert info.heartbeat_timeout == timedelta(seconds=9)
    assert not activity.in_activity()


@pytest.mark.allow_log("activity_failed")
async def test_a_failure_is_reported_with_type_trace_and_unsent_details(
    door: Door, client: Client
) -> None:
    door.answers["RecordActivityTaskHeartbeat"] = lambda _: asyncio.Event().wait()

    @activity.defn
    async def fail() -> None:
        activity.heartbeat("progress")
        raise ApplicationError("no stock", type="NoStock", non_retryable=True)

    async with worker(client, fail):
        reported = await run_one(door, task("fail"), "RespondActivityTaskFailed")
    fields = reported["failure"]["applicationFailureInfo"]
    assert (fields["type"], fields["nonRetryable"]) == ("NoStock", True)
    assert "in fail" in reported["failure"]["stackTrace"]
    assert values(reported["lastHeartbeatDetails"]) == ["progress"]


@pytest.mark.allow_log("activity_failed")
@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("missing", (), "'missing' is not registered on this worker, which has: double, greet"),
        ("double", ("text",), "expected int"),
    ],
)
async def test_a_task_that_cannot_begin_fails_with_its_reason(
    door: Door, client: Client, name: str, arguments: tuple[Any, ...], told: str
) -> None:
    async with worker(client, greet, double_it):
        reported = await run_one(door, task(name, *arguments), "RespondActivityTaskFailed")
    assert told in reported["failure"]["message"]


@pytest.mark.allow_log("activity_failed")
async def test_a_refused_result_fails_the_activity_for_good(door: Door, client: Client) -> None:
    def refuse(_: Message) -> Message:
        raise Refusal(RPCStatusCode.INVALID_ARGUMENT, "result is over 2 MiB")

    door.answers["RespondActivityTaskCompleted"] = refuse
    async with worker(client, greet):
        reported = await run_one(door, task("greet", "Ada"), "RespondActivityTaskFailed")
    assert "result is over 2 MiB" in reported["failure"]["message"]
    assert reported["failure"]["applicationFailureInfo"]["nonRetryable"] is True


async def test_a_result_is_reported_again_until_the_server_is_back(
    door: Door, client: Client
) -> None:
    outages = [httpx.ConnectError("down")] * 20

    def answer(_: Message) -> Message:
        if outages:
            raise outages.pop()
        return {}

    door.answers["RespondActivityTaskCompleted"] = answer
    async with worker(client, greet):
        door.activity_tasks.put_nowait(task("greet", "Ada"))
        for _ in range(21):
            await door.called("RespondActivityTaskCompleted")
    assert sum(door.waits) > 60


async def test_a_cancellation_arrives_with_a_heartbeat(door: Door, client: Client) -> None:
    door.answers["RecordActivityTaskHeartbeat"] = lambda _: {"cancelRequested": True}

    @activity.defn
    async def work() -> None:
        activity.heartbeat("begun")
        try:
            await asyncio.Event().wait()
        finally:
            assert activity.is_cancelled()
            await activity.wait_for_cancelled()

    async with worker(client, work):
        given = task("work", heartbeatTimeout="1s")
        await run_one(door, given, "RespondActivityTaskCanceled")
    assert values((await door.called("RecordActivityTaskHeartbeat"))["details"]) == ["begun"]


async def test_a_thread_learns_of_its_cancellation_at_its_next_heartbeat(
    door: Door, client: Client
) -> None:
    door.answers["RecordActivityTaskHeartbeat"] = lambda _: {"cancelRequested": True}

    @activity.defn
    def work() -> None:
        activity.heartbeat()
        assert activity.wait_for_cancelled_sync()
        activity.heartbeat()
        raise AssertionError("the heartbeat above raises")

    async with worker(client, work):
        await run_one(door, task("work"), "RespondActivityTaskCanceled")


async def test_an_attempt_the_server_gave_up_ends_and_reports_nothing(
    door: Door, client: Client
) -> None:
    def refuse(_: Message) -> Message:
        raise Refusal(RPCStatusCode.NOT_FOUND)

    door.answers["RecordActivityTaskHeartbeat"] = refuse
    ended = asyncio.Event()

    @activity.defn
    async def work() -> None:
        activity.heartbeat()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with worker(client, work):
        door.activity_tasks.put_nowait(task("work"))
        await ended.wait()
    assert not [name for name in door.calls if name.startswith("RespondActivity")]


async def test_heartbeats_are_sent_at_once_and_then_the_last_of_each_interval() -> None:
    door = Door()
    intervals: asyncio.Queue[float] = asyncio.Queue()
    passed: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(seconds: float) -> None:
        intervals.put_nowait(seconds)
        await passed.get()

    async with door.client() as client:
        client.transport.sleep = sleep
        heartbeats = Heartbeats(
            client.calls,
            task_token="token100",
            identity="tester",
            timeout=timedelta(seconds=10),
            on_stop=lambda _: None,
        )
        running = asyncio.create_task(heartbeats.run())
        heartbeats.record(payloads(1))
        assert await intervals.get() == 8
        for number in (2, 3, 4):
            heartbeats.record(payloads(number))
        passed.put_nowait(None)
        await intervals.get()
        running.cancel()
    sent = [door.calls["RecordActivityTaskHeartbeat"].get_nowait() for _ in range(2)]
    assert [values(request["details"]) for request in sent] == [[1], [4]]
    assert heartbeats.unsent is None
    assert door.calls["RecordActivityTaskHeartbeat"].empty()


@pytest.mark.allow_log("activity_failed")
async def test_with_a_codec_nothing_of_an_activity_leaves_in_clear(door: Door) -> None:
    @activity.defn
    async def leak(text: str) -> str:
        activity.heartbeat(text)
        await asyncio.sleep(0)
        if activity.info().attempt == 2:
            raise ValueError(text)
        return text

    converter = DataConverter(codec=AesGcmCodec({"k": bytes(32)}, "k"))
    async with door.client(converter) as client, worker(client, leak):
        await run_one(door, task("leak", CANARY), "RespondActivityTaskFailed")
        given = task("leak", CANARY, attempt=1)
        reported = await run_one(door, given, "RespondActivityTaskCompleted")
    assert values((await converter.decode(reported))["result"]) == [CANARY]
    assert CANARY.encode() not in b"".join(door.bodies)
