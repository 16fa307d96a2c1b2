"""The benchmark's worker: long polls, sticky runs, and the next task from a completion's answer."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Coroutine

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1.task_queue_pb2 import TaskQueueKind
from temporalio.api.taskqueue.v1.message_pb2 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1.request_response_pb2 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
)

from benchmarks.http_client import BrokenAnswer
from benchmarks.load import Tally
from benchmarks.product.wire import Refused, Wire
from benchmarks.product.workflows import QUEUE, BrokenHistory, RunState

POLLERS = 64
STICKY_POLLERS = 32
STICKY_TIMEOUT_SECONDS = 10
PAUSE_AFTER_REFUSAL_SECONDS = 0.05
CLOSING = {
    "complete_workflow_execution_command_attributes",
    "continue_as_new_workflow_execution_command_attributes",
}


class Worker:
    """Polls one task queue and keeps the runs it has seen, until they close."""

    def __init__(self, wire: Wire, tally: Tally) -> None:
        self._wire = wire
        self._tally = tally
        self._identity = f"benchmark-{uuid.uuid4().hex[:8]}"
        self._runs: dict[str, RunState] = {}
        self._delivered: Counter[tuple[str, str, int]] = Counter()
        self._handled_in_run: dict[str, int] = {}
        self.handled_signals: Counter[int] = Counter()
        self._sticky = StickyExecutionAttributes(
            worker_task_queue=TaskQueue(
                name=f"{QUEUE}-{self._identity}",
                kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY,
                normal_name=QUEUE,
            ),
            schedule_to_start_timeout=Duration(seconds=STICKY_TIMEOUT_SECONDS),
        )

    def pollers(self) -> list[Coroutine[None, None, None]]:
        normal = TaskQueue(name=QUEUE, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL)
        return [
            *(self._poll_workflow_tasks(normal) for _ in range(POLLERS - STICKY_POLLERS)),
            *(
                self._poll_workflow_tasks(self._sticky.worker_task_queue)
                for _ in range(STICKY_POLLERS)
            ),
            *(self._poll_activity_tasks() for _ in range(POLLERS)),
        ]

    async def _poll_workflow_tasks(self, queue: TaskQueue) -> None:
        path = f"/task-queues/{queue.name}/poll-workflow-task"
        request = PollWorkflowTaskQueueRequest(task_queue=queue, identity=self._identity)
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
        """Run the workflow's code for one task; answers the next task, empty if there is none."""
        run_id = task.workflow_execution.run_id
        state = await self._bring_up_to(task)
        commands = state.commands()
        request = RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token,
            commands=commands,
            identity=self._identity,
            sticky_attributes=self._sticky,
            return_new_workflow_task=True,
        )
        try:
            answer = await self._wire.post(
                "/workflow-task-complete",
                request.SerializeToString(),
                RespondWorkflowTaskCompletedResponse,
            )
        except (Refused, BrokenAnswer) as problem:
            # The server will hand the task out again, with all that came in between.
            self._runs.pop(run_id, None)
            if isinstance(problem, Refused) and problem.unhandled_command:
                return PollWorkflowTaskQueueResponse()
            raise
        self._count_signals(run_id, state)
        if commands and commands[-1].WhichOneof("attributes") in CLOSING:
            self._runs.pop(run_id, None)
            self._handled_in_run.pop(run_id, None)
        return answer.workflow_task

    def _count_signals(self, run_id: str, state: RunState) -> None:
        """A signal is handled when a completion that has seen it is accepted."""
        if state.signals:
            self.handled_signals.update(state.signals[self._handled_in_run.get(run_id, 0) :])
            self._handled_in_run[run_id] = len(state.signals)

    async def _bring_up_to(self, task: PollWorkflowTaskQueueResponse) -> RunState:
        """The state of the task's run after all events up to its started event."""
        run = task.workflow_execution
        events = list(task.history.events)
        state = self._runs.get(run.run_id)
        if events and events[0].event_id == 1:
            state = None
        elif state is None or not events or events[0].event_id != state.last_event_id + 1:
            state, events = None, await self._wire.history(run.workflow_id, run.run_id)
            events = [event for event in events if event.event_id <= task.started_event_id]
        if state is None:
            state = self._runs[run.run_id] = RunState()
        if task.next_page_token and events[-1].event_id < task.started_event_id:
            events += await self._wire.history(run.workflow_id, run.run_id, task.next_page_token)
        try:
            state.apply(events)
            if state.last_event_id != task.started_event_id:
                raise BrokenHistory(
                    f"history ends at {state.last_event_id}, not {task.started_event_id}"
                )
        except BrokenHistory:
            del self._runs[run.run_id]
            raise
        return state

    async def _poll_activity_tasks(self) -> None:
        path = f"/task-queues/{QUEUE}/poll-activity-task"
        request = PollActivityTaskQueueRequest(
            task_queue=TaskQueue(name=QUEUE), identity=self._identity
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
        """The activity's code: its result is its input."""
        delivery = (task.workflow_execution.run_id, task.activity_id, task.attempt)
        self._delivered[delivery] += 1
        if self._delivered[delivery] > 1:
            self._tally.duplicates += 1
        request = RespondActivityTaskCompletedRequest(
            task_token=task.task_token, result=task.input, identity=self._identity
        )
        await self._wire.post(
            "/activity-complete",
            request.SerializeToString(),
            RespondActivityTaskCompletedResponse,
        )
