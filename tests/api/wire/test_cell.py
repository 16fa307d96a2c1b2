"""A cell behind a wire answers and refuses as it would in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.catalogue import CATALOGUE
from api.cells import CellHealth
from api.dispatch import CellRpc
from api.wire.cell import CellClient, repeatable, served
from engine.call import Call
from engine.errors import Internal, NotFound, Unavailable
from tests.api.wire.line import LONG_SECONDS, Line, line

CALL = Call("namespace-1", "orders.account", "key-1", LONG_SECONDS, "00-trace-span-01")
POLL, START = (
    next(name for name in CATALOGUE if name.endswith(f".{rpc}"))
    for rpc in ("PollWorkflowTaskQueue", "StartWorkflowExecution")
)


class FakeCell:
    def __init__(self, call: CellRpc) -> None:
        self.call = call
        self.health = CellHealth(False, "shards are being taken over")


@asynccontextmanager
async def behind_a_wire(tmp_path: Path, cell: CellRpc) -> AsyncIterator[tuple[Line, CellClient]]:
    async with line(tmp_path, served(FakeCell(cell))) as held:
        await held.start()
        yield held, CellClient(held.client)


async def test_a_call_arrives_as_it_was_made(tmp_path: Path) -> None:
    seen: list[tuple[str, bytes, Call]] = []

    async def cell(method: str, request: bytes, call: Call) -> bytes:
        seen.append((method, request, call))
        return b"answer"

    async with behind_a_wire(tmp_path, cell) as (_, client):
        assert await client.call(START, b"request", CALL) == b"answer"
    assert seen == [(START, b"request", CALL)]


async def test_a_refusal_arrives_as_it_was_raised(tmp_path: Path) -> None:
    async def cell(method: str, request: bytes, call: Call) -> bytes:
        raise NotFound("workflow not found for ID: order-7", run_id="run-7")

    async with behind_a_wire(tmp_path, cell) as (_, client):
        with pytest.raises(NotFound, match="order-7") as refusal:
            await client.call(START, b"", CALL)
    assert refusal.value.ids == {"run_id": "run-7"}


async def test_a_fault_of_the_cell_is_logged_there_and_told_without_its_words(
    tmp_path: Path, allow_log: Callable[..., None]
) -> None:
    allow_log("cell_call_failed")

    async def cell(method: str, request: bytes, call: Call) -> bytes:
        raise ValueError("secret")

    async with behind_a_wire(tmp_path, cell) as (_, client):
        with pytest.raises(Internal) as refusal:
            await client.call(START, b"", CALL)
    assert "secret" not in str(refusal.value)


class RestartingCell:
    """Its first call is never answered; `begun` says that it has come."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.seconds_left: list[float] = []

    async def __call__(self, method: str, request: bytes, call: Call) -> bytes:
        self.seconds_left.append(call.timeout_seconds)
        if not self.begun.is_set():
            self.begun.set()
            await asyncio.get_running_loop().create_future()
        return b"task"


async def test_a_poll_outlives_the_restart_of_its_cell(tmp_path: Path) -> None:
    cell = RestartingCell()
    async with behind_a_wire(tmp_path, cell) as (held, client):
        poll = asyncio.create_task(client.call(POLL, b"", CALL))
        await cell.begun.wait()
        await held.stop()
        await held.start()
        assert await poll == b"task"
    first, second = cell.seconds_left
    assert second < first == LONG_SECONDS


async def test_a_call_that_may_have_been_executed_is_not_made_again(tmp_path: Path) -> None:
    cell = RestartingCell()
    async with behind_a_wire(tmp_path, cell) as (held, client):
        start = asyncio.create_task(client.call(START, b"", CALL))
        await cell.begun.wait()
        await held.stop()
        with pytest.raises(Unavailable):
            await start
        await held.start()
    assert len(cell.seconds_left) == 1


def test_what_changes_something_is_never_repeated() -> None:
    verbs = ("Start", "Signal", "Terminate", "Delete", "Request", "Respond", "Record", "Reset")
    names = {name.rpartition(".")[2] for name in repeatable()}
    assert {"PollTasks", "GetWorkflowExecutionHistory", "QueryWorkflow"} <= names
    assert not [name for name in names if name.startswith(verbs)]
