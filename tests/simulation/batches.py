"""Workers that take and complete many tasks in one call, in the words of `perdure.api.v1`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from temporalio.api.enums.v1 import TaskQueueKind
from temporalio.api.taskqueue.v1 import TaskQueue

from api.complete_tasks import METHOD as COMPLETE_TASKS
from api.errors import Code
from engine.handlers.complete_task import COMPLETIONS
from engine.protocol.tasks_pb2 import (
    CompleteTasksRequest,
    CompleteTasksResponse,
    PollTasksRequest,
    PollTasksResponse,
    TaskCompletionResult,
)
from tests.simulation.calls import answer_of
from tests.simulation.history_log import Operation
from tests.simulation.workers import (
    POLL_SECONDS,
    ActivityWorker,
    WorkflowWorker,
)

POLL_TASKS = "perdure.api.v1.TaskService.PollTasks"
TASK_COUNT_MAX = 4
GATHER_SECONDS_MAX = 0.3
"""How long a completion waits for others that go with it."""

FIELDS = {handler.method.rpartition(".")[2]: field for field, handler in COMPLETIONS.items()}
"""Where a completion stands in the call that carries it, by its method."""


class BatchWorker:
    """One worker process for both kinds of tasks of a queue, several of them in a call."""

    def __init__(self, workflows: WorkflowWorker, activities: ActivityWorker) -> None:
        self.workflows = workflows
        self.activities = activities
        self.caller = workflows.caller
        self._tasks: list[asyncio.Task[None]] = []
        workflows.caller.bundle = activities.caller.bundle = Completions(self)

    async def poll(self, *, sticky: bool) -> None:
        """Takes tasks for ever, and does not wait for one before it takes the next."""
        queue = TaskQueue(name=self.workflows.queue)
        if sticky:
            kind = TaskQueueKind.TASK_QUEUE_KIND_STICKY
            queue = TaskQueue(name=self.workflows.sticky, kind=kind, normal_name=queue.name)
        namespace = self.workflows.namespace
        request = PollTasksRequest(
            namespace=namespace.name, task_queue=queue, identity=self.caller.name
        )
        while True:
            request.workflow_task_count_max = self.caller.rng.randint(1, TASK_COUNT_MAX)
            if not sticky:
                request.activity_task_count_max = self.caller.rng.randint(1, TASK_COUNT_MAX)
            operation = await self.caller.attempt(
                POLL_TASKS, request, namespace, seconds=POLL_SECONDS
            )
            if self.caller.has_no_namespace(operation, namespace):
                return
            if operation.outcome != "ok":
                await self.caller.pause()
                continue
            answer = answer_of(operation, PollTasksResponse)
            if len(answer.workflow_tasks) + len(answer.activity_tasks) > 1:
                self.caller.record.sometimes["several tasks came in one poll"] += 1
            for workflow_task in answer.workflow_tasks:
                self.spawn(self.workflows.run(workflow_task))
            for activity_task in answer.activity_tasks:
                self.spawn(self.activities.run(activity_task))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something beside whatever else this worker does."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(self.caller.cluster.loop.create_task(work, name=self.caller.name))


class Completions:
    """Gathers the completions of one worker process for a moment and sends them in one call.

    The end of an activity may bring the workflow task that it makes, which the worker does.
    """

    def __init__(self, worker: BatchWorker) -> None:
        self._worker = worker
        self._caller = worker.caller
        self._namespace = worker.workflows.namespace
        self._waiting: list[tuple[Operation, asyncio.Future[None]]] = []

    def takes(self, method: str) -> bool:
        """Whether it is a completion."""
        return method in FIELDS

    async def carry(self, operation: Operation) -> None:
        """Return when the completion was answered, or was not."""
        answered: asyncio.Future[None] = self._caller.cluster.loop.create_future()
        self._waiting.append((operation, answered))
        if len(self._waiting) == 1:
            self._worker.spawn(self._send())
        await answered

    async def _send(self) -> None:
        await asyncio.sleep(self._caller.rng.random() * GATHER_SECONDS_MAX)
        carried, self._waiting = self._waiting, []
        if len(carried) > 1:
            self._caller.record.sometimes["several completions went in one call"] += 1
        request = CompleteTasksRequest(
            namespace=self._namespace.name, sticky_task_queue=self._worker.workflows.sticky
        )
        for operation, _ in carried:
            operation.invoked = self._caller.record.tick()
            completion = request.completions.add()
            getattr(completion, FIELDS[operation.method]).CopyFrom(operation.request)
        sent = await self._caller.attempt(COMPLETE_TASKS, request, self._namespace)
        for index, (operation, answered) in enumerate(carried):
            operation.returned, operation.returned_at = sent.returned, sent.returned_at
            if sent.outcome == "ok":
                self._note(operation, answer_of(sent, CompleteTasksResponse).results[index])
            else:
                operation.outcome, operation.error = sent.outcome, sent.error
            if not answered.done():
                answered.set_result(None)

    def _note(self, operation: Operation, result: TaskCompletionResult) -> None:
        if result.HasField("error"):
            kind = Code(result.error.code).name.title().replace("_", "")
            self._caller.note_refusal(operation, kind, result.error.message)
            return
        operation.outcome = "ok"
        operation.response = getattr(result, FIELDS[operation.method])
        if result.HasField("workflow_task"):
            self._caller.record.sometimes["a workflow task came with an activity's end"] += 1
            self._worker.spawn(self._worker.workflows.run(result.workflow_task))
