"""How calls meet a network and a server that are not always there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import pytest

from perdure.client import Client
from perdure.exceptions import RPCError, RPCStatusCode
from perdure.protojson import Message
from perdure.transport import (
    BACKOFF_JITTER,
    BACKOFF_SECONDS_MAX,
    RETRY_SECONDS_MAX,
    Transport,
    base_url,
)
from tests.sdk.door import Door, Refusal

CLOSED = {
    "eventId": "9",
    "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED",
    "workflowExecutionCompletedEventAttributes": {},
}


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    async with door.client() as client:
        yield client


async def test_a_lost_connection_is_tried_again_with_the_same_request_id(
    door: Door, client: Client
) -> None:
    tries: list[str] = []

    def answer(request: Message) -> Message:
        tries.append(request["requestId"])
        if len(tries) == 1:
            raise httpx.RemoteProtocolError("server disconnected")
        if len(tries) == 2:
            raise Refusal(RPCStatusCode.UNAVAILABLE, "restarting")
        return {"runId": "run-1"}

    door.answers["StartWorkflowExecution"] = answer
    await client.start_workflow("Greeting", id="w", task_queue="q")
    assert len(tries) == 3
    assert len(set(tries)) == 1
    assert len(door.waits) == 2
    assert door.waits[0] < door.waits[1]


async def test_an_absent_server_is_given_up_in_the_end_and_named(
    door: Door, client: Client
) -> None:
    def answer(_: Message) -> Message:
        raise httpx.ConnectError("refused")

    door.answers["DescribeWorkflowExecution"] = answer
    with pytest.raises(RPCError, match=r"https://door\.test.* cannot be reached") as failed:
        await client.get_workflow_handle("w").describe()
    assert failed.value.status is RPCStatusCode.UNAVAILABLE
    assert sum(door.waits) <= RETRY_SECONDS_MAX


async def test_a_hanging_server_is_not_asked_for_ever(door: Door, client: Client) -> None:
    def answer(_: Message) -> Message:
        raise httpx.ReadTimeout("late")

    door.answers["DescribeWorkflowExecution"] = answer
    with pytest.raises(RPCError, match="gave no answer within 30 s") as failed:
        await client.get_workflow_handle("w").describe()
    assert failed.value.status is RPCStatusCode.DEADLINE_EXCEEDED
    assert door.waits == []


@pytest.mark.allow_log("waiting_for_server")
async def test_a_result_is_waited_for_through_an_outage_of_any_length(
    door: Door, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "perdure.client")
    outages: list[Exception] = [
        httpx.ConnectError("down"),
        httpx.ReadTimeout("hangs"),
        Refusal(RPCStatusCode.UNAVAILABLE, "restarting"),
    ] * 100

    def answer(_: Message) -> Message:
        if outages:
            raise outages.pop()
        return {"history": {"events": [CLOSED]}}

    door.answers["GetWorkflowExecutionHistory"] = answer
    results = [client.get_workflow_handle(name).result() for name in ("one", "another")]
    assert await asyncio.gather(*results) == [None, None]
    assert sum(door.waits) > 10 * RETRY_SECONDS_MAX
    assert max(door.waits) <= BACKOFF_SECONDS_MAX * (1 + BACKOFF_JITTER)
    told = [record.getMessage() for record in caplog.records if record.name == "perdure.client"]
    assert told == ["waiting_for_server", "server_answers_again"]


async def test_a_short_outage_is_not_worth_a_word(door: Door, client: Client) -> None:
    outages = [httpx.ConnectError("down")] * 5

    def answer(_: Message) -> Message:
        if outages:
            raise outages.pop()
        return {"history": {"events": [CLOSED]}}

    door.answers["GetWorkflowExecutionHistory"] = answer
    assert await client.get_workflow_handle("w").result() is None
    assert len(door.waits) == 5


@pytest.mark.allow_log("waiting_for_server")
async def test_who_waits_through_an_outage_can_be_cancelled(door: Door, client: Client) -> None:
    def answer(_: Message) -> Message:
        raise httpx.ConnectError("down")

    door.answers["GetWorkflowExecutionHistory"] = answer
    waiting = asyncio.create_task(client.get_workflow_handle("w").result())
    while sum(door.waits) <= RETRY_SECONDS_MAX:  # noqa: ASYNC110 - there is no event for it.
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_wait_that_is_refused_ends(door: Door, client: Client) -> None:
    def answer(_: Message) -> Message:
        raise Refusal(RPCStatusCode.NOT_FOUND, "no such workflow")

    door.answers["GetWorkflowExecutionHistory"] = answer
    with pytest.raises(RPCError, match="no such workflow"):
        await client.get_workflow_handle("w").result()
    assert door.waits == []


@pytest.mark.parametrize(
    "status",
    [RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.NOT_FOUND, RPCStatusCode.UNAUTHENTICATED],
)
async def test_what_will_not_change_is_not_tried_again(
    door: Door, client: Client, status: RPCStatusCode
) -> None:
    def answer(_: Message) -> Message:
        raise Refusal(status, "because")

    door.answers["DescribeWorkflowExecution"] = answer
    with pytest.raises(RPCError, match="because") as failed:
        await client.get_workflow_handle("w").describe()
    assert failed.value.status is status
    assert len(door.requests) == 1


async def test_what_a_proxy_says_becomes_a_status_too() -> None:
    answers = [
        httpx.Response(502, text="<html>bad gateway"),
        httpx.Response(429, headers={"retry-after": "7"}),
        httpx.Response(401, json=["odd"]),
    ]
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    mock = httpx.MockTransport(lambda _: answers.pop(0))
    transport = Transport("door.test", http_transport=mock, sleep=sleep)
    with pytest.raises(RPCError) as failed:
        await transport.call("GET", "/x")
    assert failed.value.status is RPCStatusCode.UNAUTHENTICATED
    assert waits[1] == 7
    await transport.close()


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8233", "http://127.0.0.1:8233"),
        ("localhost:8233", "http://localhost:8233"),
        ("[::1]:8233", "http://[::1]:8233"),
        ("cloud.example:443", "https://cloud.example:443"),
        ("http://cloud.example/", "http://cloud.example"),
    ],
)
def test_a_bare_address_is_encrypted_unless_it_is_this_machine(address: str, url: str) -> None:
    assert base_url(address) == url
