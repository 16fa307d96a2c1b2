"""A cell of one node on simulated time, and the calls a client and a worker make."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
import temporalio.api.workflowservice.v1 as w
from google.protobuf.message import Message
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import (
    CommandType,
    EventType,
    HistoryEventFilterType,
    TaskQueueKind,
)
from temporalio.api.history.v1 import HistoryEvent

from api.complete_tasks import offering_complete_tasks
from engine.call import Call
from engine.handlers.handler import CELL_SERVICE, WORKFLOW_SERVICE
from engine.metering.facts import Fact, unfold
from engine.node import Node, NodeConfig
from engine.persistence.memory import MemoryStore
from engine.persistence.protocols import ShardWrite, Store
from engine.protocol.cell_pb2 import PutNamespaceRequest, PutNamespaceResponse
from tests.engine.door import NODE, WAYS, doorway
from tests.engine.law import check_law
from tests.simulation.env import SimEnv
from tests.simulation.loop import Host, SimLoop, run

M = TypeVar("M", bound=Message)
T = TypeVar("T")
P = ParamSpec("P")
NAMESPACE_ID = "0b6a1d1c-namespace"
QUEUE = "orders"
NULL = Payload(metadata={"encoding": b"binary/null"})
RETENTION = timedelta(days=7)


class Alone:
    """The peer of a node that has none."""

    async def call(self, node: str, method: str, payload: bytes) -> bytes:
        raise AssertionError(f"there is no node {node}")


def text(value: str) -> Payloads:
    """One string as a worker's converter would write it."""
    return Payloads(
        payloads=[Payload(metadata={"encoding": b"json/plain"}, data=f'"{value}"'.encode())]
    )


class Cell:
    """Calls in the words of the domain; every method is one RPC, which goes in by `way`."""

    def __init__(self, store: Store | None = None, way: str = NODE) -> None:
        self.way = way
        self.loop = SimLoop(0, in_order=True)
        self.store = store or MemoryStore()
        self.node = self._new_node()
        self.timeout_seconds = 65.0
        self.is_emptied = False
        """Whether the scenario leaves no run on purpose."""

    def _new_node(self) -> Node:
        env = SimEnv(self.loop, Host("node"), random.Random(0), skew_seconds=0, drift=0)
        return Node("node", env, self.store, Alone(), NodeConfig(4, {1: b"k" * 32}, 1))

    async def open(self) -> None:
        """Until every shard and so every task queue has its owner: order is kept from there on."""
        await self.node.start()
        while not self.node.is_ready:  # noqa: ASYNC110 - a node has no event to wait for
            await asyncio.sleep(0.05)
        await self.put_namespace(NAMESPACE_ID)

    async def crash_and_restart(self) -> None:
        """The node's memory is gone; another takes the shards over from the store."""
        await self.node.stop()
        self.node = self._new_node()
        await self.node.start()

    def hold_commits(self) -> asyncio.Event:
        """Nothing becomes durable until the event that is returned is set."""
        released, commit = asyncio.Event(), self.store.commit

        async def held(writes: Sequence[ShardWrite]) -> frozenset[int]:
            await released.wait()
            return await commit(writes)

        self.store.commit = held  # type: ignore[method-assign]
        return released

    async def sleep_without_node(self, duration: timedelta) -> None:
        """Time passes while no node runs, which costs the simulation nothing."""
        await self.node.stop()
        await asyncio.sleep(duration.total_seconds())
        self.node = self._new_node()
        await self.node.start()

    async def put_namespace(self, namespace_id: str) -> None:
        request = PutNamespaceRequest(id=namespace_id, name=f"{namespace_id}.acme")
        request.workflow_execution_retention.FromTimedelta(RETENTION)
        await self.rpc(CELL_SERVICE + "PutNamespace", request, PutNamespaceResponse)

    async def rpc(
        self, method: str, request: Message, answer: type[M], namespace_id: str = NAMESPACE_ID
    ) -> M:
        call = Call(namespace_id, f"{namespace_id}.acme", "test", self.timeout_seconds)
        if self.way == NODE or method.startswith(CELL_SERVICE):
            inside = offering_complete_tasks(self.node.call)
            response = await inside(method, request.SerializeToString(), call)
        else:
            response = await doorway().call(
                self.node, method, request, call, way=self.way, answer=answer
            )
        return answer.FromString(response)

    async def ask(self, request: Message, namespace_id: str = NAMESPACE_ID) -> Any:
        """The workflow service's answer to `request`."""
        name = type(request).__name__.removesuffix("Request")
        answer = getattr(w, f"{name}Response")
        return await self.rpc(WORKFLOW_SERVICE + name, request, answer, namespace_id)

    # --- the client's side ----------------------------------------------------------------

    async def start(self, workflow_id: str = "order-1", **fields: Any) -> str:
        """Start a workflow; its run id."""
        return (await self.start_answer(workflow_id, **fields)).run_id

    async def start_answer(
        self, workflow_id: str = "order-1", **fields: Any
    ) -> w.StartWorkflowExecutionResponse:
        request = w.StartWorkflowExecutionRequest(workflow_id=workflow_id, **fields)
        request.workflow_type.name = "Order"
        request.task_queue.name = request.task_queue.name or QUEUE
        answer: w.StartWorkflowExecutionResponse = await self.ask(request)
        return answer

    async def signal(self, name: str, workflow_id: str = "order-1", **fields: Any) -> None:
        request = w.SignalWorkflowExecutionRequest(signal_name=name, **fields)
        request.workflow_execution.workflow_id = workflow_id
        await self.ask(request)

    async def query(self, name: str, workflow_id: str = "order-1") -> w.QueryWorkflowResponse:
        request = w.QueryWorkflowRequest()
        request.execution.workflow_id = workflow_id
        request.query.query_type = name
        answer: w.QueryWorkflowResponse = await self.ask(request)
        return answer

    async def request_cancel(self, workflow_id: str = "order-1") -> None:
        request = w.RequestCancelWorkflowExecutionRequest(reason="changed my mind")
        request.workflow_execution.workflow_id = workflow_id
        await self.ask(request)

    async def terminate(self, workflow_id: str = "order-1", reason: str = "enough") -> None:
        request = w.TerminateWorkflowExecutionRequest(reason=reason)
        request.workflow_execution.workflow_id = workflow_id
        await self.ask(request)

    async def describe(
        self, workflow_id: str = "order-1", run_id: str = ""
    ) -> w.DescribeWorkflowExecutionResponse:
        request = w.DescribeWorkflowExecutionRequest()
        request.execution.workflow_id, request.execution.run_id = workflow_id, run_id
        answer: w.DescribeWorkflowExecutionResponse = await self.ask(request)
        return answer

    async def history(self, workflow_id: str = "order-1", run_id: str = "") -> list[HistoryEvent]:
        request = w.GetWorkflowExecutionHistoryRequest()
        request.execution.workflow_id, request.execution.run_id = workflow_id, run_id
        events: list[HistoryEvent] = []
        while True:
            answer = await self.ask(request)
            events += answer.history.events
            request.next_page_token = answer.next_page_token
            if not answer.next_page_token:
                return events

    async def events(self, workflow_id: str = "order-1", run_id: str = "") -> list[str]:
        """The types of the run's events, in words like `ActivityTaskScheduled`."""
        return names(await self.history(workflow_id, run_id))

    async def close_event(self, workflow_id: str = "order-1", run_id: str = "") -> HistoryEvent:
        """Wait until the run is closed."""
        request = w.GetWorkflowExecutionHistoryRequest(
            wait_new_event=True,
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
        )
        request.execution.workflow_id, request.execution.run_id = workflow_id, run_id
        while True:
            answer = await self.ask(request)
            if answer.history.events:
                event: HistoryEvent = answer.history.events[-1]
                return event
            request.next_page_token = answer.next_page_token

    # --- the worker's side ----------------------------------------------------------------

    async def poll(self, queue: str = QUEUE, sticky_of: str = "") -> Any:
        """The next workflow task; an empty message where none came."""
        request = w.PollWorkflowTaskQueueRequest(identity="worker")
        request.task_queue.name = queue
        if sticky_of:
            request.task_queue.kind = TaskQueueKind.TASK_QUEUE_KIND_STICKY
            request.task_queue.normal_name = sticky_of
        return await self.ask(request)

    async def complete(self, task: Any, *commands: Command, **fields: Any) -> Any:
        """Complete a workflow task with commands."""
        request = w.RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token, identity="worker", commands=commands, **fields
        )
        return await self.ask(request)

    async def step(self, *commands: Command, **fields: Any) -> Any:
        """Poll the next workflow task and complete it; the task."""
        task = await self.poll()
        await self.complete(task, *commands, **fields)
        return task

    async def fail_workflow_task(self, task: Any) -> None:
        await self.ask(
            w.RespondWorkflowTaskFailedRequest(task_token=task.task_token, identity="worker")
        )

    async def poll_activity(self, queue: str = QUEUE) -> Any:
        request = w.PollActivityTaskQueueRequest(identity="worker")
        request.task_queue.name = queue
        return await self.ask(request)

    async def complete_activity(self, task: Any, result: str = "done") -> None:
        await self.ask(
            w.RespondActivityTaskCompletedRequest(
                task_token=task.task_token, identity="worker", result=text(result)
            )
        )

    async def fail_activity(self, task: Any, *, non_retryable: bool = False) -> None:
        request = w.RespondActivityTaskFailedRequest(task_token=task.task_token)
        request.failure.message = "out of stock"
        request.failure.application_failure_info.non_retryable = non_retryable
        await self.ask(request)

    async def facts(self) -> dict[str, int]:
        """What was metered, by kind."""
        counts: dict[str, int] = {}
        rows = await self.store.read_facts(0, 10_000)
        facts: list[Fact] = [fact for row in rows for fact in unfold(row.blob)]
        for fact in facts:
            counts[str(fact.kind)] = counts.get(str(fact.kind), 0) + fact.quantity
        return counts


def names(events: list[HistoryEvent]) -> list[str]:
    words = [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events]
    return ["".join(part.capitalize() for part in word.split("_")) for word in words]


def play(cell: Cell, scenario: Callable[[Cell], Coroutine[Any, Any, None]]) -> None:
    """Run the scenario in simulated time; afterwards every run must be what its history says."""

    async def main() -> None:
        await cell.open()
        await scenario(cell)
        await cell.node.stop()
        assert await check_law(cell.store, NAMESPACE_ID) or cell.is_emptied

    run(cell.loop, main())
    assert not cell.loop.failures, cell.loop.failures


def in_cell(
    scenario: Callable[Concatenate[Cell, P], Coroutine[Any, Any, None]], ways: Sequence[str] = WAYS
) -> Callable[..., None]:
    """The test plays `scenario` in a fresh cell, once for every way in.

    What else the scenario takes are fixtures and parameters of the test.
    """

    def test(way: str = NODE, *args: P.args, **kwargs: P.kwargs) -> None:
        play(Cell(way=way), lambda cell: scenario(cell, *args, **kwargs))

    wanted = list(inspect.signature(scenario).parameters.values())[1:]
    way = inspect.Parameter("way", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([way, *wanted])  # type: ignore[attr-defined]
    test.scenario = scenario  # type: ignore[attr-defined]
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(test, name, getattr(scenario, name))
    return pytest.mark.parametrize("way", ways)(test)


async def soon(work: Awaitable[T]) -> asyncio.Task[T]:
    """Start `work` and let it go as far as it can without time passing."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.001)
    assert isinstance(task, asyncio.Task)
    return task


# --- commands -----------------------------------------------------------------------------


def schedule_activity(activity_id: str = "1", **fields: Any) -> Command:
    """An activity of ten seconds unless `fields` say otherwise."""
    command = Command(command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK)
    attributes = command.schedule_activity_task_command_attributes
    attributes.activity_id = activity_id
    attributes.activity_type.name = "Charge"
    attributes.task_queue.name = QUEUE
    if not fields.get("schedule_to_close"):
        attributes.start_to_close_timeout.FromTimedelta(
            fields.get("start_to_close", timedelta(seconds=10))
        )
    for name in ("schedule_to_close", "schedule_to_start"):
        if name in fields:
            getattr(attributes, f"{name}_timeout").FromTimedelta(fields[name])
    if "heartbeat" in fields:
        attributes.heartbeat_timeout.FromTimedelta(fields["heartbeat"])
    if "maximum_attempts" in fields:
        attributes.retry_policy.maximum_attempts = fields["maximum_attempts"]
    attributes.request_eager_execution = bool(fields.get("eager"))
    return command


def start_timer(timer_id: str, after: timedelta) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_START_TIMER)
    command.start_timer_command_attributes.timer_id = timer_id
    command.start_timer_command_attributes.start_to_fire_timeout.FromTimedelta(after)
    return command


def cancel_timer(timer_id: str) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER)
    command.cancel_timer_command_attributes.timer_id = timer_id
    return command


def cancel_activity(scheduled_event_id: int) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK)
    attributes = command.request_cancel_activity_task_command_attributes
    attributes.scheduled_event_id = scheduled_event_id
    return command


def complete_workflow(result: str = "shipped") -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION)
    command.complete_workflow_execution_command_attributes.result.CopyFrom(text(result))
    return command


def fail_workflow(message: str = "cannot ship") -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION)
    command.fail_workflow_execution_command_attributes.failure.message = message
    return command


def cancel_workflow() -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION)
    command.cancel_workflow_execution_command_attributes.SetInParent()
    return command


def continue_as_new(workflow_type: str = "Order") -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION)
    attributes = command.continue_as_new_workflow_execution_command_attributes
    attributes.workflow_type.name = workflow_type
    attributes.task_queue.name = QUEUE
    return command


def record_marker(name: str) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_RECORD_MARKER)
    command.record_marker_command_attributes.marker_name = name
    return command


def upsert_memo(**memo: str) -> Command:
    """Sets keys of the memo; an empty text removes its key."""
    command = Command(command_type=CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES)
    fields = command.modify_workflow_properties_command_attributes.upserted_memo.fields
    for key, value in memo.items():
        fields[key].CopyFrom(text(value).payloads[0] if value else NULL)
    return command


def upsert_search_attribute(name: str, value: str) -> Command:
    command = Command(command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    attributes = command.upsert_workflow_search_attributes_command_attributes
    fields = attributes.search_attributes.indexed_fields
    fields[name].CopyFrom(text(value).payloads[0])
    return command
