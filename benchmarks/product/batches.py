"""The worker on PollTasks and CompleteTasks: few calls, each with all that is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence

from google.rpc.code_pb2 import INVALID_ARGUMENT
from temporalio.api.taskqueue.v1.message_pb2 import TaskQueue
from temporalio.api.workflowservice.v1.request_response_pb2 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
)

from benchmarks.http_client import BrokenAnswer
from benchmarks.load import Tally
from benchmarks.product.wire import Refused, Wire
from benchmarks.product.worker import Worker
from benchmarks.product.workflows import BrokenHistory
from engine.protocol.tasks_pb2 import (
    CompleteTasksRequest,
    CompleteTasksResponse,
    PollTasksRequest,
    PollTasksResponse,
    TaskCompletion,
    TaskCompletionResult,
)

# More of them would not wait less, only split what is ready into smaller batches.
POLLERS_PER_QUEUE = 1
SENDERS = 1
TASKS_PER_CALL_MAX = 100
PAUSE_AFTER_REFUSAL_SECONDS = 0.05

Done = tuple[str, TaskCompletion]
"""A completion and the run that it belongs to."""


class Batches:
    """Polls hand tasks over, senders take what is done: nobody waits for a batch to fill."""

    def __init__(self, worker: Worker, wire: Wire, tally: Tally) -> None:
        self._worker = worker
        self._wire = wire
        self._tally = tally
        self._done: asyncio.Queue[Done] = asyncio.Queue()

    def loops(self) -> list[Coroutine[None, None, None]]:
        half, sticky = TASKS_PER_CALL_MAX // 2, self._worker.sticky_queue
        polls = [(self._worker.queue, half, half), (sticky, TASKS_PER_CALL_MAX, 0)]
        return [
            *(self._poll(*poll) for poll in polls for _ in range(POLLERS_PER_QUEUE)),
            *(self._send() for _ in range(SENDERS)),
        ]

    async def _poll(self, queue: TaskQueue, workflow_tasks: int, activity_tasks: int) -> None:
        path = f"/task-queues/{queue.name}/poll-tasks"
        request = PollTasksRequest(
            task_queue=queue,
            identity=self._worker.identity,
            workflow_task_count_max=workflow_tasks,
            activity_task_count_max=activity_tasks,
        )
        body = request.SerializeToString()
        while True:
            try:
                polled = await self._wire.post(path, body, PollTasksResponse)
            except (Refused, BrokenAnswer) as problem:
                self._tally.note(str(problem))
                await asyncio.sleep(PAUSE_AFTER_REFUSAL_SECONDS)
                continue
            for task in polled.workflow_tasks:
                await self._run_workflow(task)
            self._run_activities(polled.activity_tasks)

    async def _run_workflow(self, task: PollWorkflowTaskQueueResponse) -> None:
        try:
            completion = await self._worker.run_workflow(task)
        except (Refused, BrokenHistory, BrokenAnswer) as problem:
            self._tally.note(str(problem))
            return
        done = TaskCompletion(workflow_task_completed=completion)
        self._done.put_nowait((task.workflow_execution.run_id, done))

    def _run_activities(self, tasks: Iterable[PollActivityTaskQueueResponse]) -> None:
        for task in tasks:
            done = TaskCompletion(activity_task_completed=self._worker.run_activity(task))
            self._done.put_nowait((task.workflow_execution.run_id, done))

    async def _send(self) -> None:
        while True:
            batch = [await self._done.get()]
            while len(batch) < TASKS_PER_CALL_MAX and not self._done.empty():
                batch.append(self._done.get_nowait())
            request = CompleteTasksRequest(
                completions=[done for _, done in batch],
                sticky_task_queue=self._worker.sticky_queue.name,
            )
            try:
                answer = await self._wire.post(
                    "/tasks-complete", request.SerializeToString(), CompleteTasksResponse
                )
            except (Refused, BrokenAnswer) as problem:
                self._refused(batch, str(problem))
                await asyncio.sleep(PAUSE_AFTER_REFUSAL_SECONDS)
                continue
            for (run_id, done), result in zip(batch, answer.results, strict=True):
                await self._take(run_id, done, result)

    def _refused(self, batch: Sequence[Done], problem: str) -> None:
        self._tally.note(problem)
        for run_id, _ in batch:
            self._worker.refused(run_id)

    async def _take(self, run_id: str, done: TaskCompletion, result: TaskCompletionResult) -> None:
        """What a completion's own answer says, and the tasks that come with it."""
        if result.HasField("error"):
            self._worker.refused(run_id)
            error = result.error
            # A closing command lost the race against a new event: the task comes again, with it.
            if error.code != INVALID_ARGUMENT or "UnhandledCommand" not in error.message:
                self._tally.note(error.message)
        elif done.HasField("workflow_task_completed"):
            self._worker.accepted(run_id, done.workflow_task_completed)
            answer = result.workflow_task_completed
            self._run_activities(answer.activity_tasks)
            if answer.workflow_task.task_token:
                await self._run_workflow(answer.workflow_task)
        elif result.HasField("workflow_task"):
            await self._run_workflow(result.workflow_task)
