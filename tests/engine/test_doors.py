"""The doors of a cell lead to the same answers; the other tests here go in by all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w
from google.rpc.status_pb2 import Status
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure

from api.catalogue import CATALOGUE, Plane
from api.errors import status_of
from engine import errors
from engine.errors import EngineError, NotFound
from engine.handlers import HANDLERS
from engine.handlers.handler import CELL_SERVICE, TASK_SERVICE
from tests.engine.cell import Cell, complete_workflow, in_cell, soon, text
from tests.engine.door import HTTP_JSON, HTTP_PROTOBUF, NODE, engine_error

OWN_ARGUMENTS: dict[type[EngineError], tuple[Any, ...]] = {
    errors.QueryFailed: ("no such query", Failure(message="why").SerializeToString()),
    errors.WorkflowAlreadyStarted: ("it runs", "request-1", "run-2", "run-1"),
}
TOLD_WITH_ITS_CAUSE = {errors.StartRefused}
"""The door names the budget or the invoice instead."""
ANSWERED_BY_THE_DOOR = {TASK_SERVICE + "CompleteTasks"}


def kinds(parent: type[EngineError]) -> Iterator[type[EngineError]]:
    for kind in parent.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("kind", sorted({*kinds(EngineError)} - TOLD_WITH_ITS_CAUSE, key=str))
def test_a_refusal_of_the_engine_is_known_again_behind_the_door(kind: type[EngineError]) -> None:
    error = kind(*OWN_ARGUMENTS.get(kind, ("that cannot be",)))
    told = engine_error(Status.FromString(status_of(error).status.SerializeToString()))
    assert type(told) is kind
    if kind is not errors.Internal:
        assert vars(told) == {**vars(error), "ids": {}}


def test_the_doors_offer_what_the_cell_offers() -> None:
    offered = {name for name, row in CATALOGUE.items() if row.plane is Plane.CELL}
    internal = {name for name in HANDLERS if name.startswith(CELL_SERVICE)}
    assert offered - ANSWERED_BY_THE_DOOR == HANDLERS.keys() - internal


@in_cell
async def test_every_door_shows_the_same_run(cell: Cell) -> None:
    odd = Payloads(payloads=[Payload(metadata={"encoding": b"binary/odd"}, data=b"\x00\xff")])
    await cell.start(input=odd, identity="Zoë ✓")
    await cell.step(complete_workflow("ünïcode"))
    shown = []
    for cell.way in (NODE, HTTP_JSON, HTTP_PROTOBUF):
        history = w.GetWorkflowExecutionHistoryResponse()
        history.history.events.extend(await cell.history())
        shown.append((history, await cell.describe()))
    assert shown[0] == shown[1] == shown[2]
    (first, _), *_ = shown
    assert first.history.events[0].workflow_execution_started_event_attributes.input == odd


@in_cell
async def test_an_id_may_hold_whatever_a_path_separates(cell: Cell) -> None:
    workflow_id = "a/b?c=d#é%2F ..;:{x}"
    await cell.start(workflow_id)
    await cell.signal("paid", workflow_id, input=text("now"))
    assert (await cell.events(workflow_id))[1] == "WorkflowTaskScheduled"
    with pytest.raises(NotFound):
        await cell.signal("paid", "a")
    await cell.terminate(workflow_id)


@in_cell
async def test_whoever_leaves_a_long_poll_frees_its_place(cell: Cell) -> None:
    polled = await soon(cell.poll())
    await asyncio.sleep(1)
    polled.cancel()
    await asyncio.sleep(1)
    began = cell.loop.time()
    await cell.start()
    task = await cell.poll()
    assert (task.attempt, task.started_event_id) == (1, 3)
    assert cell.loop.time() - began < 1
