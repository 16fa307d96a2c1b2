"""What the benchmark's worker makes of tasks, whichever way they reach it."""

from __future__ import annotations

import uuid
from collections import Counter

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1.task_queue_pb2 import TaskQueueKind
from temporalio.api.taskqueue.v1.message_pb2 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1.request_response_pb2 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
    RespondActivityTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
)

from benchmarks.load import Tally
from benchmarks.product.wire import Wire
from benchmarks.product.workflows import QUEUE, BrokenHistory, RunState

STICKY_TIMEOUT_SECONDS = 10
EAGER_ACTIVITIES_MAX = 100
"""How many activities of one completion the worker takes with the answer."""

CLOSING = {
    "complete_workflow_execution_command_attributes",
    "continue_as_new_workflow_execution_command_attributes",
}


class Worker:
    """Keeps the runs it has seen, until they close, and checks all that it is given."""

    def __init__(self, wire: Wire, tally: Tally) -> None:
        self.identity = f"benchmark-{uuid.uuid4().hex[:8]}"
        self.queue = TaskQueue(name=QUEUE, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL)
        self.sticky_queue = TaskQueue(
            name=f"{QUEUE}-{self.identity}",
            kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY,
            normal_name=QUEUE,
        )
        self.handled_signals: Counter[int] = Counter()
        self._wire = wire
        self._tally = tally
        self._runs: dict[str, RunState] = {}
        self._delivered: Counter[tuple[str, str, int]] = Counter()
        self._handled_in_run: dict[str, int] = {}
        self._sticky = StickyExecutionAttributes(
            worker_task_queue=self.sticky_queue,
            schedule_to_start_timeout=Duration(seconds=STICKY_TIMEOUT_SECONDS),
        )

    async def run_workflow(
        self, task: PollWorkflowTaskQueueResponse
    ) -> RespondWorkflowTaskCompletedRequest:
        """The workflow's code for one task. Raises BrokenHistory."""
        commands = (await self._bring_up_to(task)).commands()
        for command in commands[:EAGER_ACTIVITIES_MAX]:
            if command.HasField("schedule_activity_task_command_attributes"):
                command.schedule_activity_task_command_attributes.request_eager_execution = True
        return RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token,
            commands=commands,
            identity=self.identity,
            sticky_attributes=self._sticky,
            return_new_workflow_task=True,
        )

    def run_activity(
        self, task: PollActivityTaskQueueResponse
    ) -> RespondActivityTaskCompletedRequest:
        """The activity's code: its result is its input."""
        delivery = (task.workflow_execution.run_id, task.activity_id, task.attempt)
        self._delivered[delivery] += 1
        if self._delivered[delivery] > 1:
            self._tally.duplicates += 1
        return RespondActivityTaskCompletedRequest(
            task_token=task.task_token, result=task.input, identity=self.identity
        )

    def accepted(self, run_id: str, completion: RespondWorkflowTaskCompletedRequest) -> None:
        """A signal is handled when a completion that has seen it is accepted."""
        state = self._runs[run_id]
        if state.signals:
            self.handled_signals.update(state.signals[self._handled_in_run.get(run_id, 0) :])
            self._handled_in_run[run_id] = len(state.signals)
        if any(command.WhichOneof("attributes") in CLOSING for command in completion.commands[-1:]):
            self._runs.pop(run_id, None)
            self._handled_in_run.pop(run_id, None)

    def refused(self, run_id: str) -> None:
        """The server will hand the task out again, with all that came in between."""
        self._runs.pop(run_id, None)

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
