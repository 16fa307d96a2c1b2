"""The worker on the published RPCs alone: one task for each poll, one call for each completion."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from temporalio.api.taskqueue.v1.message_pb2 import TaskQueue
from temporalio.api.workflowservice.v1.request_response_pb2 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondActivityTaskCompletedResponse,
    RespondWorkflowTaskCompletedResponse,
)

from benchmarks.http_client import BrokenAnswer
from benchmarks.load import Tally
from benchmarks.product.wire import Refused, Wire
from benchmarks.product.worker import Worker
from benchmarks.product.workflows import BrokenHistory

POLLERS = 64
STICKY_POLLERS = 32
PAUSE_AFTER_REFUSAL_SECONDS = 0.05


class PublishedPolls:
    """Many long polls side by side; each completes its task before it polls again."""

    def __init__(self, worker: Worker, wire: Wire, tally: Tally) -> None:
        self._worker = worker
        self._wire = wire
        self._tally = tally

    def loops(self) -> list[Coroutine[None, None, None]]:
        normal, sticky = self._worker.queue, self._worker.sticky_queue
        return [
            *(self._poll_workflow_tasks(normal) for _ in range(POLLERS - STICKY_POLLERS)),
            *(self._poll_workflow_tasks(sticky) for _ in range(STICKY_POLLERS)),
            *(self._poll_activity_tasks() for _ in range(POLLERS)),
        ]

    async def _poll_workflow_tasks(self, queue: TaskQueue) -> None:
        path = f"/task-queues/{queue.name}/poll-workflow-task"
        request = PollWorkflowTaskQueueRequest(task_queue=queue, identity=self._worker.identity)
        body = request.SerializeToString()
        while True:
            try:
                task = await self._wire.post(path, body, PollWorkflowTaskQueueResponse)
                while task.task_token:
                    task = await self._complete_workflow_task(task)
            except (Refused, BrokenHistory, BrokenAnswer) as problem:
                self._tally.note(str(problem))
                await asyncio.sleep(PAUSE_AFTER_REFUSAL_SECONDS)

    async def _complete_workflow_task(
        self, task: PollWorkflowTaskQueueResponse
    ) -> PollWorkflowTaskQueueResponse:
        """Answers the run's next workflow task, empty if there is none yet."""
        run_id = task.workflow_execution.run_id
        completion = await self._worker.run_workflow(task)
        try:
            answer = await self._wire.post(
                "/workflow-task-complete",
                completion.SerializeToString(),
                RespondWorkflowTaskCompletedResponse,
            )
        except (Refused, BrokenAnswer) as problem:
            self._worker.refused(run_id)
            if isinstance(problem, Refused) and problem.unhandled_command:
                return PollWorkflowTaskQueueResponse()
            raise
        self._worker.accepted(run_id, completion)
        for activity_task in answer.activity_tasks:
            await self._complete_activity_task(activity_task)
        return answer.workflow_task

    async def _poll_activity_tasks(self) -> None:
        path = f"/task-queues/{self._worker.queue.name}/poll-activity-task"
        request = PollActivityTaskQueueRequest(
            task_queue=self._worker.queue, identity=self._worker.identity
        )
        body = request.SerializeToString()
        while True:
            try:
                task = await self._wire.post(path, body, PollActivityTaskQueueResponse)
                if task.task_token:
                    await self._complete_activity_task(task)
            except (Refused, BrokenAnswer) as problem:
                self._tally.note(str(problem))
                await asyncio.sleep(PAUSE_AFTER_REFUSAL_SECONDS)

    async def _complete_activity_task(self, task: PollActivityTaskQueueResponse) -> None:
        await self._wire.post(
            "/activity-complete",
            self._worker.run_activity(task).SerializeToString(),
            RespondActivityTaskCompletedResponse,
        )
