"""Starts workflows on the product and verifies what comes of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.api.common.v1.message_pb2 import WorkflowType
from temporalio.api.enums.v1.event_type_pb2 import EventType
from temporalio.api.history.v1.message_pb2 import HistoryEvent
from temporalio.api.taskqueue.v1.message_pb2 import TaskQueue
from temporalio.api.workflowservice.v1.request_response_pb2 import (
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from api.local_postgres import LocalPostgres
from benchmarks.http_client import BrokenAnswer, HttpClient, Secured
from benchmarks.load import Failed, Tally, Target, beside
from benchmarks.product.account import open_account
from benchmarks.product.batches import Batches
from benchmarks.product.certificate import ClientCertificate
from benchmarks.product.published import PublishedPolls
from benchmarks.product.wire import Refused, Wire, json_payloads
from benchmarks.product.worker import Worker
from benchmarks.product.workflows import QUEUE, BrokenHistory, RunState
from benchmarks.servers import free_port, running
from benchmarks.windows import Plan

RESULT_WAIT_SECONDS_MAX = 60
AUDITED_WORKFLOWS_MAX = 500
PROTOBUF = "application/x-protobuf"
AS_PROTOBUF = {"Content-Type": PROTOBUF, "Accept": PROTOBUF}
PLAIN, TLS = "product", "product-tls"


@dataclass(frozen=True)
class Work:
    """Which workflow an operation runs, whether only its start is timed, and what the unit is."""

    workflow_type: str
    activities: int
    ack_only: bool = False
    counts_activities: bool = False


@dataclass(frozen=True)
class Product:
    """A running server with a namespace of ours and a worker on it."""

    name: str
    pid: int
    wire: Wire
    worker: Worker
    tally: Tally
    database_pid: int | None = None

    def target(self, work: Work) -> Target:
        driver = ProductDriver(self.wire, self.tally, work)
        units = work.activities if work.counts_activities else 1
        return Target(
            self.name,
            self.pid,
            driver.operation,
            self.tally,
            driver.audit,
            units_per_operation=units,
            database_pid=self.database_pid,
        )


class ProductDriver:
    """One kind of work; ids are unique over all drivers of a server."""

    _numbers = itertools.count()

    def __init__(self, wire: Wire, tally: Tally, work: Work) -> None:
        self._wire = wire
        self._tally = tally
        self._work = work
        self._finished: list[tuple[str, str]] = []

    async def operation(self, due: float) -> float:
        """Start a workflow and verify its result; the latency is the start's or the result's."""
        workflow_id = f"{self._work.workflow_type}-{next(self._numbers)}"
        text = f"hello from {workflow_id}, some text of a realistic size"
        argument = [self._work.activities, text]
        try:
            run_id = await start(self._wire, workflow_id, self._work.workflow_type, argument)
        except (Refused, BrokenAnswer, OSError) as problem:
            self._tally.note(str(problem))
            raise Failed from problem
        acknowledged = time.perf_counter()
        await expect_result(self._wire, self._tally, (workflow_id, run_id), text)
        if len(self._finished) < AUDITED_WORKFLOWS_MAX:
            self._finished.append((workflow_id, run_id))
        return (acknowledged if self._work.ack_only else time.perf_counter()) - due

    async def audit(self) -> None:
        """Read whole histories: ids without a gap, each activity scheduled and completed once."""
        for workflow_id, run_id in self._finished:
            state = RunState()
            try:
                events = await self._wire.history(workflow_id, run_id)
                state.apply(events)
            except (Refused, BrokenHistory, BrokenAnswer) as problem:
                self._tally.note(f"history of {workflow_id}: {problem}")
                continue
            self._tally.duplicates += max(0, state.scheduled - self._work.activities)
            if len(state.completed) != self._work.activities:
                self._tally.note(f"history of {workflow_id}: {len(state.completed)} completed")


async def start(wire: Wire, workflow_id: str, workflow_type: str, argument: list[object]) -> str:
    """Start a workflow; answers its run id."""
    request = StartWorkflowExecutionRequest(
        workflow_id=workflow_id,
        workflow_type=WorkflowType(name=workflow_type),
        task_queue=TaskQueue(name=QUEUE),
        input=json_payloads(json.dumps(argument).encode()),
        identity="benchmark-client",
        request_id=str(uuid.uuid4()),
    )
    answer = await wire.post(
        f"/workflows/{workflow_id}", request.SerializeToString(), StartWorkflowExecutionResponse
    )
    return answer.run_id


async def expect_result(
    wire: Wire, tally: Tally, execution: tuple[str, str], expected: object
) -> None:
    """Wait for the close event of an acknowledged run; without one in time the run is lost."""
    workflow_id = execution[0]
    try:
        async with asyncio.timeout(RESULT_WAIT_SECONDS_MAX):
            event = await wire.close_event(*execution)
    except (TimeoutError, Refused, BrokenAnswer, OSError) as problem:
        tally.lost += 1
        tally.note(f"{workflow_id} gave no result: {problem!r}")
        raise Failed from problem
    if result_of(event) != expected:
        tally.note(f"{workflow_id} ended with {result_of(event)!r}, not {expected!r}")
        raise Failed


def result_of(event: HistoryEvent) -> object:
    """The result in a completed event; for any other close event, its type's name."""
    if event.event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return EventType.Name(event.event_type)
    attributes = event.workflow_execution_completed_event_attributes
    return json.loads(attributes.result.payloads[0].data)


@asynccontextmanager
async def product(
    data: Path, plan: Plan, database: LocalPostgres | None = None, *, name: str = PLAIN
) -> AsyncIterator[Product]:
    """Run the real server in an empty folder, with an account, a namespace and a worker.

    Without a database of its own it stores as PERDURE_STORE says. By the name TLS, worker and
    client have a client certificate and no key.
    """
    port, tls_port = free_port(), free_port()
    folder = data / name
    folder.mkdir()
    arguments = ["up", "--data", str(folder), "--port", str(port), "--quiet"]
    if name == TLS:
        arguments += ["--tls-port", str(tls_port)]
    if plan.has_processes:
        arguments += ["--processes"]
    if database is not None:
        arguments += ["--store", database.url()]
    database_pid = None if database is None else database.process.pid
    async with running(port, "api", *arguments) as pid:
        opened = await _secured(folder, port, tls_port) if name == TLS else await _by_key(port)
        namespace, client = opened
        async with client:
            tally = Tally()
            wire = Wire(client, namespace)
            worker = Worker(wire, tally)
            polls = (PublishedPolls if plan.published else Batches)(worker, wire, tally)
            async with beside(polls.loops()):
                yield Product(name, pid, wire, worker, tally, database_pid)


async def _by_key(port: int) -> tuple[str, HttpClient]:
    access = await open_account(port)
    headers = {"Authorization": f"Bearer {access.api_key}", **AS_PROTOBUF}
    return access.namespace, HttpClient(port, headers)


async def _secured(folder: Path, port: int, tls_port: int) -> tuple[str, HttpClient]:
    certificate = ClientCertificate(folder)
    access = await open_account(port, certificate.authority_pem)
    secured = Secured(
        certificate.context(folder / "tls" / "ca.pem"), f"{access.namespace}.localhost"
    )
    return access.namespace, HttpClient(tls_port, AS_PROTOBUF, secured)
