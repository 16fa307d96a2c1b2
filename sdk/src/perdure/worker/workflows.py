"""Workflow tasks: bring the instance up to date, send its commands, answer its queries."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perdure.definition import WorkflowDefinition
from perdure.exceptions import (
    NondeterminismError,
    PerdureError,
    RPCError,
    RPCStatusCode,
    WorkflowDeadlockError,
)
from perdure.execution import history_pages
from perdure.failure import ENCODED_MESSAGE, to_failure
from perdure.protojson import Message, duration_text, number, pruned
from perdure.runtime.commands import event_attributes
from perdure.runtime.instance import WorkflowInstance
from perdure.runtime.run import WorkflowInfo
from perdure.telemetry import Failed
from perdure.transport import NamespaceCalls
from perdure.worker.cache import WorkflowCache
from perdure.worker.settings import WorkerSettings
from perdure.worker.threads import WorkflowThreads

QUERY_REPORT_RETRY_SECONDS_MAX = 10.0

_NONDETERMINISM = "WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR"
_UNHANDLED = "WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE"

_logger = logging.getLogger("perdure.worker")


@dataclass(frozen=True)
class Outcome:
    """What one workflow task led to."""

    commands: list[Message]
    query_results: dict[str, Message]
    direct_query_result: Message | None


class WorkflowTasks:
    """Handles the workflow tasks of one worker."""

    def __init__(
        self,
        calls: NamespaceCalls,
        definitions: Mapping[str, WorkflowDefinition],
        settings: WorkerSettings,
    ) -> None:
        self.is_stopping = False
        self._calls = calls
        self._converter = calls.converter
        self._definitions = definitions
        self._settings = settings
        self._cache = WorkflowCache(settings.max_cached_workflows)
        self._threads = WorkflowThreads(settings.max_concurrent_workflow_tasks)

    async def close(self) -> None:
        """End all cached instances."""
        await self._threads.evict(self._cache.clear())
        self._threads.close()

    async def handle(self, task: Message) -> None:
        """Work on one polled task, and on those that its completion is answered with."""
        while task.get("taskToken"):
            task = await self._handle(task)

    async def _handle(self, task: Message) -> Message:
        instance = self._cache.take(task["workflowExecution"]["runId"])
        try:
            await self._converter.decode(task)
            instance, events = await self._prepare(task, instance)
        except Exception as error:
            if instance is not None:
                await self._threads.evict([instance])
            await self._report_failure(task, error)
            return {}
        name, header = instance.run.workflow_type, _header(instance, events)
        with self._calls.telemetry.working(
            "RunWorkflowTask", name, header, _attributes(task)
        ) as failed:
            return await self._work_on(task, instance, events, failed)

    async def _work_on(
        self, task: Message, instance: WorkflowInstance, events: list[Message], failed: Failed
    ) -> Message:
        try:
            outcome = await self._threads.run(instance, lambda: self._work(instance, events, task))
            if "query" in task:
                await self._put(instance)
                await self._answer_query(task, outcome.direct_query_result or {})
                return {}
            body = await self._converter.encode(self._completion(task, outcome))
        except Exception as error:
            failed(error)
            if not isinstance(error, WorkflowDeadlockError):
                await self._threads.evict([instance])
            await self._report_failure(task, error)
            return {}
        # Kept before the server knows, since the next task may come before this call returns.
        await self._put(instance)
        answer = await self._complete(task, instance, body)
        if answer is None:
            if self._cache.drop(instance):
                await self._threads.evict([instance])
            return {}
        following: Message = answer.get("workflowTask") or {}
        return following

    async def _put(self, instance: WorkflowInstance) -> None:
        if instance.closed or self._settings.max_cached_workflows == 0:
            await self._threads.evict([instance])
        else:
            await self._threads.evict(self._cache.put(instance))

    # Bringing an instance up to date

    async def _prepare(
        self, task: Message, instance: WorkflowInstance | None
    ) -> tuple[WorkflowInstance, list[Message]]:
        """The task's instance and the events it lacks; a new one gets the whole history."""
        events = await self._events(task)
        first_id = number(events[0], "eventId") if events else 0
        if instance is not None:
            # After a task that timed out, the instance has done what never came into the history.
            is_in_history = instance.last_started_event_id <= number(task, "previousStartedEventId")
            if is_in_history and first_id <= instance.last_event_id + 1:
                return instance, events
            await self._threads.evict([instance])
        if first_id != 1:
            events = await self._whole_history(task, events)
        return self._new_instance(task), events

    def _new_instance(self, task: Message) -> WorkflowInstance:
        name = task["workflowType"]["name"]
        definition = self._definitions.get(name)
        if definition is None:
            known = ", ".join(sorted(self._definitions))
            raise PerdureError(
                f"workflow {name!r} is not registered on this worker, which has: {known}"
            )
        execution = task["workflowExecution"]
        info = WorkflowInfo(
            namespace=self._calls.namespace,
            workflow_id=execution["workflowId"],
            run_id=execution["runId"],
            workflow_type=name,
            task_queue=self._settings.task_queue,
        )
        return WorkflowInstance(definition, info, self._converter)

    async def _events(self, task: Message) -> list[Message]:
        events: list[Message] = list(task.get("history", {}).get("events", []))
        token = task.get("nextPageToken", "")
        if token:
            events += await self._read_history(task, nextPageToken=token)
        return events

    async def _whole_history(self, task: Message, tail: list[Message]) -> list[Message]:
        """All events; the task's own may not be readable in the history yet."""
        events = await self._read_history(task)
        last_id = number(events[-1], "eventId") if events else 0
        return events + [event for event in tail if number(event, "eventId") > last_id]

    async def _read_history(self, task: Message, **query: Any) -> list[Message]:
        execution = task["workflowExecution"]
        pages = history_pages(self._calls, execution["workflowId"], execution["runId"], **query)
        events: list[Message] = []
        async for page, _ in pages:
            events += page
        decoded = await self._converter.decode({"events": events})
        return list(decoded["events"])

    # Running workflow code

    def _work(self, instance: WorkflowInstance, events: list[Message], task: Message) -> Outcome:
        """In a thread: run what is new, then the queries."""
        commands = instance.feed(events, number(task, "startedEventId"))
        results = {key: self._answer(instance, it) for key, it in task.get("queries", {}).items()}
        direct = self._answer(instance, task["query"]) if "query" in task else None
        return Outcome(commands, results, direct)

    def _answer(self, instance: WorkflowInstance, query: Message) -> Message:
        try:
            answer = instance.query(query.get("queryType", ""), query.get("queryArgs"))
        except Exception as error:
            return self._query_failure(error)
        return {"resultType": "QUERY_RESULT_TYPE_ANSWERED", "answer": answer}

    def _query_failure(self, error: Exception) -> Message:
        # The message alone is not covered by the codec, so with one it says nothing.
        text = str(error) if self._converter.codec is None else ENCODED_MESSAGE
        return {
            "resultType": "QUERY_RESULT_TYPE_FAILED",
            "errorMessage": text,
            "failure": to_failure(error, self._converter),
        }

    # Reporting

    def _completion(self, task: Message, outcome: Outcome) -> Message:
        settings = self._settings
        body: Message = pruned(
            taskToken=task["taskToken"],
            identity=settings.identity,
            commands=self._calls.telemetry.commands(outcome.commands) or None,
            queryResults=outcome.query_results or None,
        )
        if settings.max_cached_workflows and not self.is_stopping:
            body["returnNewWorkflowTask"] = True
            body["stickyAttributes"] = {
                "workerTaskQueue": settings.sticky_task_queue,
                "scheduleToStartTimeout": duration_text(settings.sticky_timeout),
            }
        return body

    async def _complete(
        self, task: Message, instance: WorkflowInstance, body: Message
    ) -> Message | None:
        """The server's answer; None if the completion does not count."""
        try:
            return await self._calls.post_encoded(
                "workflow-task-complete",
                body=body,
                retry_seconds=instance.run.task_timeout.total_seconds(),
            )
        except RPCError as error:
            # Both are usual: the task timed out, or an event came that the code must see first.
            is_usual = error.status is RPCStatusCode.NOT_FOUND or (
                error.status is RPCStatusCode.INVALID_ARGUMENT
                and error.message == "UnhandledCommand"
            )
            _logger.log(
                logging.INFO if is_usual else logging.WARNING,
                "workflow_task_refused",
                extra={"status": error.status.name, "reason": error.message, **_ids(task)},
            )
            return None

    async def _answer_query(self, task: Message, result: Message) -> None:
        fields = pruned(
            taskToken=task["taskToken"],
            completedType=result["resultType"],
            queryResult=result.get("answer"),
            errorMessage=result.get("errorMessage"),
            failure=result.get("failure"),
        )
        await self._report("query-task-complete", fields, QUERY_REPORT_RETRY_SECONDS_MAX)

    async def _report_failure(self, task: Message, error: Exception) -> None:
        """Fail the task, never the workflow: it goes on once the code is mended."""
        attempt = number(task, "attempt")
        extra = {"attempt": attempt, **_ids(task)}
        _logger.warning("workflow_task_failed", exc_info=error, extra=extra)
        if "query" in task:
            await self._answer_query(task, self._query_failure(error))
            return
        if attempt > 1:
            # The server tries a failed task again at once; left to time out, it waits ever longer.
            return
        is_nondeterminism = isinstance(error, NondeterminismError)
        fields = {
            "taskToken": task["taskToken"],
            "cause": _NONDETERMINISM if is_nondeterminism else _UNHANDLED,
            "failure": to_failure(error, self._converter),
            "identity": self._settings.identity,
        }
        await self._report("workflow-task-fail", fields, QUERY_REPORT_RETRY_SECONDS_MAX)

    async def _report(self, verb: str, fields: Message, retry_seconds: float) -> None:
        try:
            await self._calls.post(verb, body=fields, retry_seconds=retry_seconds)
        except RPCError as error:
            level = logging.INFO if error.status is RPCStatusCode.NOT_FOUND else logging.WARNING
            extra = {"status": error.status.name, "verb": verb}
            _logger.log(level, "workflow_report_dropped", extra=extra)


def _header(instance: WorkflowInstance, events: list[Message]) -> Message:
    """The header that the run began with; a new instance has not read its first event yet."""
    if instance.last_event_id or not events:
        return dict(instance.run.headers)
    return dict(event_attributes(events[0]).get("header", {}).get("fields", {}))


def _attributes(task: Message) -> Mapping[str, str]:
    execution = task["workflowExecution"]
    return {"perdure.workflow_id": execution["workflowId"], "perdure.run_id": execution["runId"]}


def _ids(task: Message) -> Mapping[str, Any]:
    execution = task.get("workflowExecution", {})
    return {"workflow_id": execution.get("workflowId"), "run_id": execution.get("runId")}
