"""Calls that wait: deadlines, clients that leave, credentials that are revoked."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api import open_calls
from api.catalogue import CALL_SECONDS, POLL_SECONDS
from tests.api.world import Parked, World

POLL = "/api/v1/namespaces/orders.acme/task-queues/q/poll-workflow-task"
HISTORY = "/api/v1/namespaces/orders.acme/workflows/w/history"


@pytest.mark.parametrize(
    ("verb", "path", "headers", "seconds"),
    [
        ("POST", POLL, {}, POLL_SECONDS),
        ("GET", HISTORY, {}, CALL_SECONDS),
        ("POST", f"{POLL}?timeout=5", {}, 5),
        ("POST", f"{POLL}?timeout=1.5s", {}, 1.5),
        ("POST", f"{POLL}?timeout=3600", {}, POLL_SECONDS),
        ("POST", POLL, {"grpc-timeout": "20S"}, 20),
        ("POST", POLL, {"grpc-timeout": "500m"}, 0.5),
        ("POST", POLL, {"grpc-timeout": "99999999H"}, POLL_SECONDS),
        ("POST", f"{POLL}?timeout=5", {"grpc-timeout": "20S"}, 5),
    ],
)
async def test_the_cell_is_told_how_long_its_caller_waits(
    verb: str, path: str, headers: dict[str, str], seconds: float
) -> None:
    world = World()
    async with world.client("worker") as client:
        assert (await client.request(verb, path, headers=headers)).json() == {}
    assert world.calls[0][2].timeout_seconds == pytest.approx(seconds)


class LeavingClient:
    """The receiving end of a client that sends its request and leaves when told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.sent: list[Any] = []
        self._is_read = False

    async def receive(self) -> Any:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer worker")],
    }


async def test_a_client_that_leaves_cancels_its_poll_and_is_sent_nothing() -> None:
    parked, client = Parked(), LeavingClient()
    door = World({"PollWorkflowTaskQueue": parked}).door()
    call = asyncio.create_task(door(scope(POLL), client.receive, client.send))
    await parked.began.wait()
    client.leaves.set()
    await call
    assert parked.ended.is_set()
    assert client.sent == []


async def test_a_client_that_leaves_while_it_sends_reaches_no_cell() -> None:
    world, client = World(), LeavingClient()
    client.leaves.set()
    client._is_read = True
    await world.door()(scope(POLL), client.receive, client.send)
    assert not world.calls
    assert not client.sent


async def parked_poll(world: World, parked: Parked) -> asyncio.Task[httpx.Response]:
    async def poll() -> httpx.Response:
        async with world.client("worker") as client:
            return await client.post(POLL)

    world.answers["PollWorkflowTaskQueue"] = parked
    task = asyncio.create_task(poll())
    await parked.began.wait()
    return task


async def test_a_revoked_key_ends_its_open_polls_and_no_others() -> None:
    world, parked = World(), Parked()
    poll = await parked_poll(world, parked)
    world.open_calls.revoke("reader")
    assert not parked.ended.is_set()
    del world.keys["worker"]
    world.open_calls.revoke("worker")
    answer = await poll
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert parked.ended.is_set()


async def test_a_key_whose_rights_changed_is_asked_to_call_again() -> None:
    world, parked = World(), Parked()
    poll = await parked_poll(world, parked)
    world.open_calls.revoke("worker")
    answer = await poll
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_a_server_that_ends_sends_its_callers_away() -> None:
    world, parked = World(), Parked()
    poll = await parked_poll(world, parked)
    world.open_calls.drain()
    answer = await poll
    assert (answer.status_code, answer.json()["code"]) == (503, 14)
    assert parked.ended.is_set()


async def test_what_does_not_end_by_itself_is_ended_after_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_calls, "DEADLINE_GRACE_SECONDS", 0)
    parked = Parked()
    world = World({"GetWorkflowExecutionHistory": parked})
    async with world.client() as client:
        answer = await client.get(f"{HISTORY}?timeout=0.001")
    assert (answer.status_code, answer.json()["code"]) == (504, 4)
    assert parked.ended.is_set()


async def test_a_cell_that_answers_although_it_was_cancelled_is_not_heard() -> None:
    world, began = World(), asyncio.Event()

    async def stubborn(_request: bytes, _call: object) -> bytes:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return b""
        return b""

    world.answers["PollWorkflowTaskQueue"] = stubborn
    async with world.client("worker") as client:
        poll = asyncio.create_task(client.post(POLL))
        await began.wait()
        world.open_calls.drain()
        assert (await poll).status_code == 503


async def test_whoever_cancels_the_door_itself_is_obeyed() -> None:
    world, parked = World(), Parked()
    poll = await parked_poll(world, parked)
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    assert parked.ended.is_set()


async def test_nothing_is_kept_of_calls_that_ended() -> None:
    world = World()
    async with world.client("worker") as client:
        await client.post(POLL)
        await client.post(POLL + "?nope=1")
    assert world.open_calls.count == 0
