"""The least a durable execution does: start, workflow task, activity, workflow task, complete.

State lives in memory; every transition is one history row and one run row. There are no timers,
retries, visibility, metering, authentication or limits: what they cost is what the product adds.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from typing import Any

import msgspec

from benchmarks.floor.store import Store

encode = msgspec.msgpack.Encoder().encode


class Event(msgspec.Struct, array_like=True):
    """One history event."""

    id: int
    at_ns: int
    type: str
    attributes: dict[str, Any]


class Run:
    """One execution in memory, forgotten when its result has been written."""

    __slots__ = ("closed", "events", "number", "queue", "result", "workflow_id")

    def __init__(self, number: int, workflow_id: str, queue: str) -> None:
        self.number = number
        self.workflow_id = workflow_id
        self.queue = queue
        self.events: list[Event] = []
        self.result: Any = None
        self.closed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class TaskQueue:
    """Tasks waiting for a poller, or pollers waiting for a task; never both."""

    def __init__(self) -> None:
        self._tasks: deque[Any] = deque()
        self._pollers: deque[asyncio.Future[Any]] = deque()

    def offer(self, task: Any) -> None:
        if self._pollers:
            self._pollers.popleft().set_result(task)
        else:
            self._tasks.append(task)

    async def poll(self) -> Any:
        if self._tasks:
            return self._tasks.popleft()
        poller: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pollers.append(poller)
        return await poller


class Transitions:
    """The transitions of the floor; each returns after its events are durable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[int, Run] = {}
        self._started = 0
        self._workflow_tasks: defaultdict[str, TaskQueue] = defaultdict(TaskQueue)
        self._activity_tasks: defaultdict[str, TaskQueue] = defaultdict(TaskQueue)

    async def start(self, workflow_id: str, queue: str, argument: Any) -> int:
        """Start a run and return its number."""
        self._started += 1
        run = self._runs[self._started] = Run(self._started, workflow_id, queue)
        await self._append(
            run,
            ("WorkflowExecutionStarted", {"queue": queue, "input": argument}),
            ("WorkflowTaskScheduled", {"queue": queue, "attempt": 1}),
        )
        self._workflow_tasks[queue].offer(run)
        return run.number

    async def result(self, number: int) -> Any:
        """Wait for the result of a run; each result is asked for once."""
        run = self._runs[number]
        await run.closed
        del self._runs[number]
        return run.result

    async def poll_workflow_task(self, queue: str) -> dict[str, Any]:
        run: Run = await self._workflow_tasks[queue].poll()
        return {"run": run.number, "history": run.events}

    async def complete_workflow_task(self, number: int, command: dict[str, Any]) -> None:
        """Apply one command: `{"activity": argument}` or `{"result": value}`.

        The started event shares the commit of the completion.
        """
        run = self._runs[number]
        activity = "activity" in command
        await self._append(
            run,
            ("WorkflowTaskStarted", {"scheduled": len(run.events)}),
            ("WorkflowTaskCompleted", {"started": len(run.events) + 1}),
            ("ActivityTaskScheduled" if activity else "WorkflowExecutionCompleted", command),
            closed=not activity,
        )
        if activity:
            self._activity_tasks[run.queue].offer((run, command["activity"]))
        else:
            run.result = command["result"]
            run.closed.set_result(None)

    async def poll_activity_task(self, queue: str) -> dict[str, Any]:
        run, argument = await self._activity_tasks[queue].poll()
        return {"run": run.number, "input": argument}

    async def complete_activity_task(self, number: int, result: Any) -> None:
        run = self._runs[number]
        await self._append(
            run,
            ("ActivityTaskStarted", {"scheduled": len(run.events)}),
            ("ActivityTaskCompleted", {"result": result}),
            ("WorkflowTaskScheduled", {"queue": run.queue, "attempt": 1}),
        )
        self._workflow_tasks[run.queue].offer(run)

    async def _append(
        self, run: Run, *events: tuple[str, dict[str, Any]], closed: bool = False
    ) -> None:
        first = len(run.events) + 1
        now_ns = time.time_ns()
        new = [
            Event(first + index, now_ns, kind, attributes)
            for index, (kind, attributes) in enumerate(events)
        ]
        run.events += new
        row = (run.number, run.workflow_id, closed, first + len(new))
        await self._store.append(row, first, encode(new))
