"""Orders under way while the server is killed: their clients and workers, and what was promised.

Every call is repeated until its outcome is known, as any program would; what was acknowledged is
noted, to be held against the histories at the end.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import temporalio.api.workflowservice.v1 as w
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import EventType, QueryResultType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.query.v1 import WorkflowQueryResult

from tests.engine.cell import complete_workflow, schedule_activity, start_timer
from tests.product.client import CLOSE_EVENT, Lost, Program, Refused
from tests.product.server import Product

QUEUE = "orders"
WORKFLOW_POLLERS = 4
ACTIVITY_POLLERS = 4
OPEN_ORDERS_MAX = 12
SIGNALS_PER_ORDER = 3
ACTIVITIES_PER_ORDER = 3
POLL_SECONDS = 5
PAUSE_SECONDS = 0.02
# A task that was handed out by a server that died is lost; it comes again after these.
WORKFLOW_TASK_TIMEOUT = timedelta(seconds=2)
ACTIVITY_TIMEOUT = timedelta(seconds=2)
TIMER_MAX = timedelta(seconds=1)
ANSWERED = QueryResultType.QUERY_RESULT_TYPE_ANSWERED

SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
ACTIVITY_SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
ACTIVITY_COMPLETED = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
TIMER_STARTED = EventType.EVENT_TYPE_TIMER_STARTED
TIMER_FIRED = EventType.EVENT_TYPE_TIMER_FIRED


@dataclass
class Promises:
    """What the service acknowledged."""

    run_ids: dict[str, str] = field(default_factory=dict)
    """The run of each workflow id that was started."""
    signals: set[tuple[str, str]] = field(default_factory=set)
    """(workflow id, signal)."""
    workflow_tasks: set[tuple[str, int]] = field(default_factory=set)
    """(run id, started event id) of each completion."""
    activities: dict[tuple[str, str], str] = field(default_factory=dict)
    """(run id, activity id) → result."""
    answers: int = 0
    """How many calls were answered."""


class Caller:
    """Repeats calls until their outcome is known."""

    def __init__(self, product: Product, program: Program) -> None:
        self.promises = Promises()
        self.product = product
        self.program = program
        self._answered = asyncio.Condition()

    async def ask(self, request: Any, timeout_seconds: float | None = None) -> Any:
        """The answer. Raises Refused; a repeated call may be refused because of its first try."""
        while True:
            await self.product.answering.wait()
            try:
                answer = await self.program.ask(request, timeout_seconds)
            except Lost:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            async with self._answered:
                self.promises.answers += 1
                self._answered.notify_all()
            return answer

    async def answered(self, count: int) -> None:
        """Wait until so many more calls were answered."""
        async with self._answered:
            goal = self.promises.answers + count
            await self._answered.wait_for(lambda: self.promises.answers >= goal)


class Orders:
    """Starts orders, signals and queries them, and does their work, until told to stop."""

    def __init__(self, caller: Caller, rng: random.Random) -> None:
        self.caller = caller
        self.promises = caller.promises
        self._rng = rng
        self._room = asyncio.Semaphore(OPEN_ORDERS_MAX)
        self._group: asyncio.TaskGroup
        self._clients: list[asyncio.Task[None]] = []
        self._loops: list[asyncio.Task[None]] = []
        self.results: dict[str, Any] = {}

    def begin(self, group: asyncio.TaskGroup) -> None:
        """What fails here ends the whole group."""
        self._group = group
        loops: list[Coroutine[Any, Any, None]] = [
            self._feed(),
            *(self._work_on_workflows() for _ in range(WORKFLOW_POLLERS)),
            *(self._work_on_activities() for _ in range(ACTIVITY_POLLERS)),
        ]
        self._loops = [group.create_task(loop) for loop in loops]

    async def end(self) -> None:
        """Take no more orders and wait until each has its result."""
        self._loops[0].cancel()
        await asyncio.gather(*self._clients)
        for loop in self._loops:
            loop.cancel()

    async def _feed(self) -> None:
        number = 0
        while True:
            await self._room.acquire()
            number += 1
            client = self._client(f"order-{number}")
            self._clients.append(self._group.create_task(client))

    async def _client(self, workflow_id: str) -> None:
        await self._start(workflow_id)
        signals = [f"{workflow_id}-signal-{n}" for n in range(SIGNALS_PER_ORDER)]
        for signal in signals:
            await self._signal(workflow_id, signal)
        if self._rng.random() < 0.5:
            await self._query(workflow_id)
        run_id = self.promises.run_ids[workflow_id]
        request = w.GetWorkflowExecutionHistoryRequest(
            wait_new_event=True, history_event_filter_type=CLOSE_EVENT
        )
        request.execution.workflow_id, request.execution.run_id = workflow_id, run_id
        answer = await self.caller.ask(request)
        while not answer.history.events:
            request.next_page_token = answer.next_page_token
            answer = await self.caller.ask(request)
        closed = answer.history.events[-1].workflow_execution_completed_event_attributes
        self.results[workflow_id] = json.loads(closed.result.payloads[0].data)
        self._room.release()

    async def _start(self, workflow_id: str) -> None:
        request = w.StartWorkflowExecutionRequest(
            workflow_id=workflow_id, request_id=f"start-{workflow_id}"
        )
        request.workflow_type.name, request.task_queue.name = "Order", QUEUE
        request.workflow_task_timeout.FromTimedelta(WORKFLOW_TASK_TIMEOUT)
        self.promises.run_ids[workflow_id] = (await self.caller.ask(request)).run_id

    async def _signal(self, workflow_id: str, signal: str) -> None:
        request = w.SignalWorkflowExecutionRequest(
            signal_name="add", request_id=signal, input=payloads(signal)
        )
        request.workflow_execution.workflow_id = workflow_id
        await self.caller.ask(request)
        self.promises.signals.add((workflow_id, signal))

    async def _query(self, workflow_id: str) -> None:
        request = w.QueryWorkflowRequest()
        request.execution.workflow_id = workflow_id
        request.query.query_type = "state"
        await self.caller.ask(request)

    # --- the workers ----------------------------------------------------------------------

    async def _work_on_workflows(self) -> None:
        request = w.PollWorkflowTaskQueueRequest(identity="worker")
        request.task_queue.name = QUEUE
        while True:
            task = await self.caller.ask(request, POLL_SECONDS)
            if task.task_token:
                await self._complete_task(task)

    async def _complete_task(self, task: Any) -> None:
        if task.HasField("query"):
            answer: Any = w.RespondQueryTaskCompletedRequest(
                task_token=task.task_token, completed_type=ANSWERED, query_result=payloads("open")
            )
        else:
            answered = WorkflowQueryResult(result_type=ANSWERED, answer=payloads("open"))
            answer = w.RespondWorkflowTaskCompletedRequest(
                task_token=task.task_token,
                commands=decide(task.workflow_execution.workflow_id, list(task.history.events)),
                query_results=dict.fromkeys(task.queries, answered),
            )
        try:
            await self.caller.ask(answer)
        except Refused as refusal:
            # It came too late, or its first try counted, or a signal arrived before a closing.
            if refusal.status != 404 and "UnhandledCommand" not in refusal.message:
                raise
            return
        if not task.HasField("query"):
            key = (task.workflow_execution.run_id, task.started_event_id)
            self.promises.workflow_tasks.add(key)

    async def _work_on_activities(self) -> None:
        request = w.PollActivityTaskQueueRequest(identity="worker")
        request.task_queue.name = QUEUE
        while True:
            task = await self.caller.ask(request, POLL_SECONDS)
            if task.task_token:
                await self._complete_activity(task)

    async def _complete_activity(self, task: Any) -> None:
        result = f"attempt {task.attempt} of {task.activity_id}"
        try:
            await self.caller.ask(w.RecordActivityTaskHeartbeatRequest(task_token=task.task_token))
            await self.caller.ask(
                w.RespondActivityTaskCompletedRequest(
                    task_token=task.task_token, result=payloads(result)
                )
            )
        except Refused as refusal:
            if refusal.status != 404:
                raise
            return
        key = (task.workflow_execution.run_id, task.activity_id)
        assert key not in self.promises.activities, f"{key} was completed twice"
        self.promises.activities[key] = result


def decide(workflow_id: str, events: list[HistoryEvent]) -> list[Command]:
    """What the order's code does next: a timer and activities, then a result of all it saw."""
    seen = Counter(event.event_type for event in events)
    if not seen[TIMER_STARTED]:
        return [
            start_timer("cool", TIMER_MAX * random.Random(workflow_id).random()),
            *(order_activity(str(number)) for number in range(1, ACTIVITIES_PER_ORDER)),
        ]
    if seen[ACTIVITY_COMPLETED] < seen[ACTIVITY_SCHEDULED]:
        return []
    if seen[ACTIVITY_SCHEDULED] < ACTIVITIES_PER_ORDER:
        return [order_activity(str(ACTIVITIES_PER_ORDER))]
    if seen[SIGNALED] < SIGNALS_PER_ORDER or not seen[TIMER_FIRED]:
        return []
    command = complete_workflow()
    result = command.complete_workflow_execution_command_attributes.result
    result.CopyFrom(payloads(sorted(signals_of(events))))
    return [command]


def order_activity(activity_id: str) -> Command:
    command = schedule_activity(activity_id, start_to_close=ACTIVITY_TIMEOUT)
    attributes = command.schedule_activity_task_command_attributes
    attributes.task_queue.name = QUEUE
    attributes.retry_policy.initial_interval.FromMilliseconds(10)
    return command


def signals_of(events: Iterable[HistoryEvent]) -> list[str]:
    return [
        json.loads(event.workflow_execution_signaled_event_attributes.input.payloads[0].data)
        for event in events
        if event.event_type == SIGNALED
    ]


def payloads(value: Any) -> Payloads:
    data = json.dumps(value).encode()
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=data)])
