"""Simulated worker processes: they run programs, do activities, answer queries, misbehave."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import QueryResultType, TaskQueueKind
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.query.v1 import WorkflowQueryResult
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
    RespondQueryTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
)

from engine.persistence.protocols import RunKey
from tests.simulation.calls import Caller, Namespace, answer_of
from tests.simulation.cluster import Cluster
from tests.simulation.history_log import Finding, Operation, Task
from tests.simulation.programs import Seen, Work, decide, duration, payloads, read

POLL_SECONDS = 6.0
STICKY_SECONDS = 2.0
CACHED_RUN_COUNT_MAX = 4
LATE_SECONDS_MAX = 20.0
WORKFLOW_CODE_SECONDS_MAX = 0.05
ACTIVITY_SECONDS_MAX = 0.5


class BrokenHistory(Exception):
    """A workflow task came with a history that is not whole."""


class WorkflowWorker:
    """Polls one queue, and its own sticky queue, for workflow tasks of one namespace.

    `activities` is the same process's worker for activities: it does the eager ones.
    """

    def __init__(self, cluster: Cluster, name: str, activities: ActivityWorker) -> None:
        self.caller = Caller(cluster, name)
        self.cluster = cluster
        self.buggify = cluster.buggify
        self.namespace = activities.namespace
        self.queue = activities.queue
        self.activities = activities
        self.sticky = f"sticky-{name}" if "sticky" in cluster.swarm.features else ""
        self.cache: OrderedDict[str, list[HistoryEvent]] = OrderedDict()

    async def poll(self, *, sticky: bool) -> None:
        """Takes tasks for ever."""
        queue = TaskQueue(name=self.queue)
        if sticky:
            kind = TaskQueueKind.TASK_QUEUE_KIND_STICKY
            queue = TaskQueue(name=self.sticky, kind=kind, normal_name=self.queue)
        request = PollWorkflowTaskQueueRequest(
            namespace=self.namespace.name, task_queue=queue, identity=self.caller.name
        )
        while True:
            operation = await self.caller.attempt(
                "PollWorkflowTaskQueue", request, self.namespace, seconds=POLL_SECONDS
            )
            if self.caller.has_no_namespace(operation, self.namespace):
                return
            if operation.outcome != "ok":
                await self.caller.pause()
                continue
            await self.run(answer_of(operation, PollWorkflowTaskQueueResponse))

    async def run(self, task: PollWorkflowTaskQueueResponse) -> None:
        """Does a task, if it is one, and those that come as answers to it."""
        following: PollWorkflowTaskQueueResponse | None = task
        while following is not None and following.task_token:
            following = await self._run(following)

    async def _run(
        self, task: PollWorkflowTaskQueueResponse
    ) -> PollWorkflowTaskQueueResponse | None:
        """Does one task; returns the next one where the answer brought it."""
        if task.started_event_id:
            self.caller.got("workflow", _workflow_task(self.namespace, task))
        if self.buggify("task.vanish"):
            self.cache.clear()
            return None
        run = task.workflow_execution
        try:
            events = await self._events(task)
        except BrokenHistory as error:
            text = f"task of {run.run_id}: {error}"
            self.caller.record.findings.append(Finding("I5", text))
            return None
        if events is None:
            return None
        if self.sticky and task.attempt <= 1:
            # A later attempt shows events that are written, if at all, as those of its completion.
            self.cache[run.run_id] = events
            if len(self.cache) > CACHED_RUN_COUNT_MAX:
                self.cache.popitem(last=False)
        if task.HasField("query"):
            await self._answer(task, events)
            return None
        await asyncio.sleep(self.caller.rng.random() * WORKFLOW_CODE_SECONDS_MAX)
        if self.buggify("task.slow"):
            await asyncio.sleep(self.caller.rng.random() * LATE_SECONDS_MAX)
        return await self._complete(task, events)

    async def _events(self, task: PollWorkflowTaskQueueResponse) -> list[HistoryEvent] | None:
        """All events of the run up to the task; None when they could not be fetched."""
        run = task.workflow_execution
        events = list(task.history.events)
        cached = self.cache.get(run.run_id, [])
        if not events or events[0].event_id > 1:
            first = events[0].event_id if events else task.previous_started_event_id + 1
            if len(cached) >= first - 1 and cached:
                events = cached[: first - 1] + events
            else:
                events = await self._fetch(run, b"") or []
                if not events:
                    return None
        elif task.next_page_token:
            more = await self._fetch(run, task.next_page_token)
            if more is None:
                return None
            events += more
        if [event.event_id for event in events] != list(range(1, len(events) + 1)):
            raise BrokenHistory(f"ids {[event.event_id for event in events]}")
        if task.started_event_id:
            if len(events) < task.started_event_id:
                raise BrokenHistory(f"{len(events)} events, started is {task.started_event_id}")
            # A history that was fetched later than the task was made may say more than the task.
            del events[task.started_event_id :]
        self.caller.saw(self.namespace, run, events)
        return events

    async def _fetch(self, run: WorkflowExecution, token: bytes) -> list[HistoryEvent] | None:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self.namespace.name, execution=run, next_page_token=token
        )
        events: list[HistoryEvent] = []
        while True:
            operation = await self.caller.insist(
                "GetWorkflowExecutionHistory", request, self.namespace
            )
            if operation.outcome != "ok":
                return None
            answer = answer_of(operation, GetWorkflowExecutionHistoryResponse)
            events += answer.history.events
            request.next_page_token = answer.next_page_token
            if not answer.next_page_token:
                return events

    async def _complete(
        self, task: PollWorkflowTaskQueueResponse, events: list[HistoryEvent]
    ) -> PollWorkflowTaskQueueResponse | None:
        given = _workflow_task(self.namespace, task)
        identity = self.caller.identity()
        if self.buggify("task.fail"):
            failed = RespondWorkflowTaskFailedRequest(
                namespace=self.namespace.name, task_token=task.task_token, identity=identity
            )
            failed.failure.CopyFrom(Failure(message="simulated failure of workflow code"))
            await self._insist("RespondWorkflowTaskFailed", failed, identity, given)
            self.cache.pop(task.workflow_execution.run_id, None)
            return None
        request = RespondWorkflowTaskCompletedRequest(
            namespace=self.namespace.name,
            task_token=task.task_token,
            identity=identity,
            commands=decide(events),
            return_new_workflow_task=bool(self.sticky),
        )
        if self.sticky:
            request.sticky_attributes.CopyFrom(
                StickyExecutionAttributes(
                    worker_task_queue=TaskQueue(name=self.sticky, normal_name=self.queue),
                    schedule_to_start_timeout=duration(STICKY_SECONDS),
                )
            )
        for query_id in task.queries:
            result = WorkflowQueryResult(
                result_type=QueryResultType.QUERY_RESULT_TYPE_ANSWERED, answer=_view(task, events)
            )
            request.query_results[query_id].CopyFrom(result)
        operation = await self._insist("RespondWorkflowTaskCompleted", request, identity, given)
        if self.buggify("task.complete_twice"):
            await self._insist("RespondWorkflowTaskCompleted", request, identity, given)
        if operation.outcome != "ok":
            self.cache.pop(task.workflow_execution.run_id, None)
            return None
        answer = answer_of(operation, RespondWorkflowTaskCompletedResponse)
        for activity_task in answer.activity_tasks:
            self.caller.record.sometimes["an activity task came with a completion"] += 1
            self.activities.start(activity_task)
        if not answer.HasField("workflow_task"):
            return None
        return answer.workflow_task

    async def _answer(
        self, task: PollWorkflowTaskQueueResponse, events: list[HistoryEvent]
    ) -> None:
        request = RespondQueryTaskCompletedRequest(
            namespace=self.namespace.name,
            task_token=task.task_token,
            completed_type=QueryResultType.QUERY_RESULT_TYPE_ANSWERED,
            query_result=_view(task, events),
        )
        await self._insist("RespondQueryTaskCompleted", request, "", None)

    async def _insist(
        self, method: str, request: Message, identity: str, task: Task | None
    ) -> Operation:
        return await self.caller.insist(
            method, request, self.namespace, identity=identity, task=task
        )


class ActivityWorker:
    """Polls one queue for activity tasks of one namespace."""

    def __init__(self, cluster: Cluster, name: str, namespace: Namespace, queue: str) -> None:
        self.caller = Caller(cluster, name)
        self.buggify = cluster.buggify
        self.rng = self.caller.rng
        self.namespace = namespace
        self.queue = queue
        self._started: list[asyncio.Task[None]] = []

    async def poll(self) -> None:
        """Takes tasks for ever."""
        request = PollActivityTaskQueueRequest(
            namespace=self.namespace.name,
            task_queue=TaskQueue(name=self.queue),
            identity=self.caller.name,
        )
        while True:
            operation = await self.caller.attempt(
                "PollActivityTaskQueue", request, self.namespace, seconds=POLL_SECONDS
            )
            if self.caller.has_no_namespace(operation, self.namespace):
                return
            if operation.outcome != "ok":
                await self.caller.pause()
                continue
            await self.run(answer_of(operation, PollActivityTaskQueueResponse))

    async def run(self, task: PollActivityTaskQueueResponse) -> None:
        """Does a task, if it is one."""
        if task.task_token:
            self.caller.got("activity", self._given(task))
            await self._do(task)

    def start(self, task: PollActivityTaskQueueResponse) -> None:
        """Does a task beside whatever else this worker does."""
        self._started = [work for work in self._started if not work.done()]
        work = self.caller.cluster.loop.create_task(self.run(task), name=self.caller.name)
        self._started.append(work)

    def _given(self, task: PollActivityTaskQueueResponse) -> Task:
        """Which attempt it is."""
        run = task.workflow_execution
        key = RunKey(self.namespace.id, run.workflow_id, run.run_id)
        return Task(key, task.activity_id, task.attempt)

    async def _do(self, task: PollActivityTaskQueueResponse) -> None:
        if self.buggify("task.vanish"):
            return
        work = read(task.input, Work)
        for beat in range(1 + work.beats):
            await asyncio.sleep(self.rng.random() * ACTIVITY_SECONDS_MAX)
            if beat and await self._heartbeat(task, beat):
                await self._cancel(task)
                return
        if self.buggify("task.slow"):
            await asyncio.sleep(self.rng.random() * LATE_SECONDS_MAX)
        if task.attempt <= work.failures:
            await self._fail(task)
        else:
            await self._finish(task)

    async def _heartbeat(self, task: PollActivityTaskQueueResponse, beat: int) -> bool:
        """Whether the activity shall stop."""
        request = RecordActivityTaskHeartbeatRequest(
            namespace=self.namespace.name, task_token=task.task_token, details=payloads(beat)
        )
        for _ in range(2 if self.buggify("task.heartbeat_twice") else 1):
            operation = await self.caller.attempt(
                "RecordActivityTaskHeartbeat", request, self.namespace, task=self._given(task)
            )
        if operation.outcome != "ok":
            return False
        return answer_of(operation, RecordActivityTaskHeartbeatResponse).cancel_requested

    async def _finish(self, task: PollActivityTaskQueueResponse) -> None:
        identity = self.caller.identity()
        completed = RespondActivityTaskCompletedRequest(
            namespace=self.namespace.name,
            task_token=task.task_token,
            identity=identity,
            result=payloads(identity),
        )
        await self._respond("RespondActivityTaskCompleted", completed, identity, task)

    async def _fail(self, task: PollActivityTaskQueueResponse) -> None:
        identity = self.caller.identity()
        failed = RespondActivityTaskFailedRequest(
            namespace=self.namespace.name, task_token=task.task_token, identity=identity
        )
        failed.failure.message = "simulated failure"
        failed.failure.application_failure_info.type = "Simulated"
        await self._respond("RespondActivityTaskFailed", failed, identity, task)

    async def _cancel(self, task: PollActivityTaskQueueResponse) -> None:
        identity = self.caller.identity()
        canceled = RespondActivityTaskCanceledRequest(
            namespace=self.namespace.name, task_token=task.task_token, identity=identity
        )
        await self._respond("RespondActivityTaskCanceled", canceled, identity, task)

    async def _respond(
        self, method: str, request: Message, identity: str, task: PollActivityTaskQueueResponse
    ) -> None:
        """Reports the outcome; sometimes says it twice, the second time very late."""
        given = self._given(task)
        for _ in range(2 if self.buggify("task.complete_twice") else 1):
            await self.caller.insist(method, request, self.namespace, identity=identity, task=given)
        if self.buggify("task.stale_completion"):
            await asyncio.sleep(self.rng.random() * LATE_SECONDS_MAX)
            await self.caller.insist(method, request, self.namespace, identity=identity, task=given)


def _workflow_task(namespace: Namespace, task: PollWorkflowTaskQueueResponse) -> Task:
    run = task.workflow_execution
    key = RunKey(namespace.id, run.workflow_id, run.run_id)
    return Task(key, str(task.started_event_id), task.attempt)


def _view(task: PollWorkflowTaskQueueResponse, events: list[HistoryEvent]) -> Payloads:
    """A query's answer: the run, how far the worker sees, and the signals it saw."""
    signals = [request_id for _, request_id in Seen(events).signals]
    return payloads([task.workflow_execution.run_id, len(events), signals])
