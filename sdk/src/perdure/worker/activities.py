"""Activity tasks: run the function, report how it ended."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from perdure.activity import CONTEXT, ActivityContext, Info, identity_fields, info_of
from perdure.definition import ActivityDefinition
from perdure.exceptions import (
    ApplicationError,
    CancelledError,
    RPCError,
    RPCStatusCode,
)
from perdure.failure import to_failure
from perdure.protojson import Message, pruned
from perdure.telemetry import Failed
from perdure.transport import NamespaceCalls
from perdure.worker.heartbeats import Heartbeats

REPORT_RETRY_SECONDS_MAX = 600.0
TIMEOUT_MARGIN_SECONDS = 1.0

_logger = logging.getLogger("perdure.worker")


class Attempt:
    """One attempt of an activity in this process."""

    def __init__(
        self, calls: NamespaceCalls, definition: ActivityDefinition, info: Info, identity: str
    ) -> None:
        self.stop_reason: RPCStatusCode | None = None
        """Why it was asked to stop: CANCELLED by request, NOT_FOUND, or ABORTED by shutdown."""
        self.heartbeats = Heartbeats(
            calls,
            task_token=info.task_token,
            identity=identity,
            timeout=info.heartbeat_timeout,
            on_stop=self.stop,
        )
        self.context = ActivityContext(info, beat=self._beat, is_async=definition.is_async)
        self._definition = definition
        self._converter = calls.converter.payload_converter
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Future[Any] | None = None

    async def run(self, arguments: Sequence[Any], executor: Executor) -> Any:
        """The function's result; raises what it raises."""
        context = contextvars.copy_context()
        context.run(CONTEXT.set, self.context)
        call = functools.partial(self._definition.function, *arguments)
        if self._definition.is_async:
            self._running = self._loop.create_task(call(), context=context)
        else:
            self._running = self._loop.run_in_executor(executor, context.run, call)
        beating = self._loop.create_task(self.heartbeats.run())
        timeout = self.context.info.start_to_close_timeout
        limit_seconds = timeout.total_seconds() + TIMEOUT_MARGIN_SECONDS if timeout else None
        try:
            if not (await asyncio.wait({self._running}, timeout=limit_seconds))[0]:
                # The server has given the attempt up by now; its slot must not be held for ever.
                self.stop(RPCStatusCode.NOT_FOUND)
                await asyncio.wait({self._running})
        finally:
            beating.cancel()
            await asyncio.wait({beating})
        return self._running.result()

    def stop(self, reason: RPCStatusCode) -> None:
        """Ask the function to end; one in a thread sees it when it looks."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self.context.cancelled.set()
            self.context.cancelled_async.set()
            if self._definition.is_async and self._running is not None:
                self._running.cancel()

    def _beat(self, details: Sequence[Any]) -> None:
        # Converted here, so that the caller sees what is wrong with its own values.
        payloads = self._converter.to_payloads(details)
        if self._definition.is_async:
            self.heartbeats.record(payloads)
        else:
            self._loop.call_soon_threadsafe(self.heartbeats.record, payloads)


class ActivityTasks:
    """Handles the activity tasks of one worker."""

    def __init__(
        self,
        calls: NamespaceCalls,
        definitions: Mapping[str, ActivityDefinition],
        *,
        identity: str,
        task_queue: str,
        executor: Executor,
    ) -> None:
        self._calls = calls
        self._definitions = definitions
        self._identity = identity
        self._task_queue = task_queue
        self._executor = executor
        self._attempts: set[Attempt] = set()

    def announce_shutdown(self) -> None:
        """Let activities know that the worker is about to end."""
        for attempt in self._attempts:
            attempt.context.worker_shutdown = True

    def stop_all(self) -> None:
        """Ask every running activity to end; another worker will try it again."""
        for attempt in list(self._attempts):
            attempt.stop(RPCStatusCode.ABORTED)

    async def handle(self, task: Message) -> None:
        """Run one polled task and report its result, failure or cancellation."""
        with self._calls.telemetry.working(
            "RunActivity",
            task.get("activityType", {}).get("name", ""),
            task.get("header", {}).get("fields", {}),
            _attributes(task),
        ) as failed:
            await self._handle(task, failed)

    async def _handle(self, task: Message, failed: Failed) -> None:
        attempt: Attempt | None = None
        try:
            converter = self._calls.converter
            await converter.decode(task)
            info = info_of(task, self._task_queue, converter)
            definition = self._definition(info.activity_type)
            arguments = converter.payload_converter.from_payloads(
                task.get("input"), definition.argument_hints
            )
            attempt = Attempt(self._calls, definition, info, self._identity)
            self._attempts.add(attempt)
            result = await attempt.run(arguments, self._executor)
            fields = {"result": {"payloads": [converter.payload_converter.to_payload(result)]}}
            await self._report(task, "activity-complete", fields)
        except (Exception, asyncio.CancelledError) as error:
            failed(error)
            await self._report_error(task, attempt, error)
        finally:
            if attempt is not None:
                self._attempts.discard(attempt)

    def _definition(self, name: str) -> ActivityDefinition:
        definition = self._definitions.get(name)
        if definition is None:
            known = ", ".join(sorted(self._definitions))
            raise ApplicationError(
                f"activity {name!r} is not registered on this worker, which has: {known}",
                type="NotFoundError",
            )
        return definition

    async def _report(self, task: Message, verb: str, fields: Message) -> None:
        """Report; raises ApplicationError if the server does not take what was reported."""
        body = {"taskToken": task["taskToken"], "identity": self._identity, **fields}
        try:
            await self._calls.post(verb, body=body, retry_seconds=REPORT_RETRY_SECONDS_MAX)
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT and verb == "activity-complete":
                raise ApplicationError(
                    f"the server refused the result: {error.message}",
                    type="ResultRefused",
                    non_retryable=True,
                ) from error
            # Not found: the attempt timed out or its workflow closed, and nobody waits for it.
            level = logging.INFO if error.status is RPCStatusCode.NOT_FOUND else logging.WARNING
            _logger.log(level, "activity_report_dropped", extra={"status": error.status.name})

    async def _report_error(
        self, task: Message, attempt: Attempt | None, error: BaseException
    ) -> None:
        is_cancelled = isinstance(error, asyncio.CancelledError | CancelledError)
        reason = attempt.stop_reason if attempt is not None else None
        if is_cancelled and reason is RPCStatusCode.NOT_FOUND:
            return
        if is_cancelled and reason is RPCStatusCode.CANCELLED:
            details = error.details if isinstance(error, CancelledError) else ()
            payloads = self._calls.converter.payload_converter.to_payloads(details)
            await self._report(task, "activity-resolve-as-canceled", pruned(details=payloads))
            return
        if is_cancelled and reason is RPCStatusCode.ABORTED:
            error = ApplicationError("the worker is shutting down", type="WorkerShutdown")
        elif isinstance(error, asyncio.CancelledError):
            # Nobody asked for it, so it is a failure like any other and may be tried again.
            error = ApplicationError("the activity cancelled itself", type="CancelledError")
        fields = identity_fields(attempt.context.info) if attempt is not None else {}
        _logger.warning("activity_failed", exc_info=error, extra=fields)
        unsent = attempt.heartbeats.unsent if attempt is not None else None
        failure = to_failure(error, self._calls.converter)
        report = pruned(failure=failure, lastHeartbeatDetails=unsent or None)
        await self._report(task, "activity-fail", report)


def _attributes(task: Message) -> Mapping[str, str]:
    execution = task.get("workflowExecution", {})
    return {
        "perdure.workflow_id": execution.get("workflowId", ""),
        "perdure.run_id": execution.get("runId", ""),
        "perdure.activity_id": task.get("activityId", ""),
    }
