"""One workflow as a client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

from perdure.definition import Function, name_and_result
from perdure.exceptions import (
    CancelledError,
    RPCError,
    RPCStatusCode,
    TerminatedError,
    TimeoutError,
    TimeoutType,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from perdure.execution import (
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHistory,
    description_of,
    history_pages,
)
from perdure.failure import from_failure
from perdure.policies import QueryRejectCondition
from perdure.protojson import Message, pruned
from perdure.runtime.commands import event_attributes, event_kind
from perdure.transport import NamespaceCalls

_CLOSE_EVENT = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"


@dataclass(frozen=True)
class WorkflowHandle:
    """A workflow by its id: the run ``run_id``, or without one whichever run is the latest.

    ``first_execution_run_id`` keeps cancel and terminate within the chain of runs that it began.
    """

    calls: NamespaceCalls
    identity: str
    id: str
    run_id: str | None = None
    result_run_id: str | None = None
    first_execution_run_id: str | None = None
    result_type: Any = None

    async def result(self, *, follow_runs: bool = True) -> Any:
        """Wait until the workflow closes, and return its result as the hinted type.

        Raises WorkflowFailureError with the reason as its cause, or WorkflowContinuedAsNewError if
        the next run is not to be followed.
        """
        run_id = self.result_run_id or ""
        while True:
            event = await self._close_event(run_id)
            attributes = event_attributes(event)
            next_run_id = str(attributes.get("newExecutionRunId", ""))
            kind = event_kind(event).removeprefix("WORKFLOW_EXECUTION_")
            if next_run_id and follow_runs:
                run_id = next_run_id
            elif kind == "CONTINUED_AS_NEW":
                raise WorkflowContinuedAsNewError(next_run_id)
            elif kind == "COMPLETED":
                values = self.calls.converter.payload_converter.from_payloads(
                    attributes.get("result"), [self.result_type]
                )
                return values[0] if values else None
            else:
                self._raise_failure(kind, attributes)

    async def _close_event(self, run_id: str) -> Message:
        pages = history_pages(
            self.calls,
            self.id,
            run_id,
            waitNewEvent="true",
            historyEventFilterType=_CLOSE_EVENT,
            skipArchival="true",
        )
        async for events, _ in pages:
            if events:
                return await self.calls.converter.decode(events[-1])
        raise RPCError(f"history of {self.id!r} has no close event", RPCStatusCode.DATA_LOSS)

    def _raise_failure(self, kind: str, attributes: Message) -> NoReturn:
        converter = self.calls.converter
        values = converter.payload_converter.from_payloads
        if kind == "FAILED":
            raise WorkflowFailureError(from_failure(attributes.get("failure", {}), converter))
        if kind == "CANCELED":
            details = values(attributes.get("details"))
            raise WorkflowFailureError(CancelledError("Workflow cancelled", *details))
        if kind == "TERMINATED":
            reason = attributes.get("reason") or "Workflow terminated"
            raise WorkflowFailureError(TerminatedError(reason))
        if kind == "TIMED_OUT":
            error = TimeoutError("Workflow timed out", type=TimeoutType.START_TO_CLOSE)
            raise WorkflowFailureError(error)
        raise RPCError(f"{self.id!r} closed by unknown event {kind}", RPCStatusCode.UNKNOWN)

    async def signal(self, signal: Function | str, *values: Any, args: Sequence[Any] = ()) -> None:
        """Send a signal; returns when it is recorded."""
        name, _ = name_and_result(signal, "signal")
        body = pruned(
            workflowExecution=self._execution(),
            input=self._payloads([*values, *args]),
            requestId=str(uuid4()),
            identity=self.identity,
        )
        with self.calls.telemetry.calling("SignalWorkflow", name, self.id):
            body |= pruned(header=self.calls.telemetry.header())
            await self.calls.post("workflows", self.id, "signal", name, body=body)

    async def query(
        self,
        query: Function | str,
        *values: Any,
        args: Sequence[Any] = (),
        result_type: Any = None,
        reject_condition: QueryRejectCondition | None = None,
    ) -> Any:
        """Ask the workflow; raises WorkflowQueryFailedError or WorkflowQueryRejectedError."""
        name, hint = name_and_result(query, "query")
        body = pruned(
            execution=self._execution(),
            query=pruned(queryArgs=self._payloads([*values, *args])),
            queryRejectCondition=reject_condition,
        )
        converter = self.calls.converter
        try:
            with self.calls.telemetry.calling("QueryWorkflow", name, self.id):
                answer = await self.calls.post("workflows", self.id, "query", name, body=body)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            raise await self._query_failure(error) from None
        if "queryRejected" in answer:
            status = answer["queryRejected"].get("status", WorkflowExecutionStatus.UNSPECIFIED)
            raise WorkflowQueryRejectedError(WorkflowExecutionStatus(status).name)
        answer = await converter.decode(answer)
        results = converter.payload_converter.from_payloads(
            answer.get("queryResult"), [result_type or hint]
        )
        return results[0] if results else None

    async def _query_failure(self, refusal: RPCError) -> WorkflowQueryFailedError:
        failure = refusal.details[0].get("failure") if refusal.details else None
        if not failure:
            return WorkflowQueryFailedError(refusal.message)
        cause = from_failure(await self.calls.converter.decode(failure), self.calls.converter)
        error = WorkflowQueryFailedError(cause.message)
        error.__cause__ = cause
        return error

    async def cancel(self, *, reason: str = "") -> None:
        """Ask the workflow to cancel itself; the reason is stored in clear."""
        await self._end("cancel", reason=reason or None, requestId=str(uuid4()))

    async def terminate(self, *details: Any, reason: str = "") -> None:
        """End the workflow now, without asking its code; the reason is stored in clear."""
        await self._end("terminate", reason=reason or None, details=self._payloads(details))

    async def _end(self, verb: str, **fields: Any) -> None:
        body = pruned(
            workflowExecution=self._execution(),
            firstExecutionRunId=self.first_execution_run_id,
            identity=self.identity,
            **fields,
        )
        await self.calls.post("workflows", self.id, verb, body=body)

    async def describe(self) -> WorkflowExecutionDescription:
        """The run's state as of now."""
        answer = await self.calls.get("workflows", self.id, execution__runId=self.run_id)
        return description_of(answer, self.calls.converter)

    async def fetch_history(self) -> WorkflowHistory:
        """All events so far, payloads decoded."""
        return WorkflowHistory(self.id, [event async for event in self.fetch_history_events()])

    async def fetch_history_events(self, *, wait_new_event: bool = False) -> AsyncIterator[Message]:
        """The run's events, payloads decoded; waits for more until it closes if asked to."""
        wait = {"waitNewEvent": "true"} if wait_new_event else {}
        async for events, _ in history_pages(self.calls, self.id, self.run_id or "", **wait):
            for event in events:
                yield await self.calls.converter.decode(event)

    def _execution(self) -> Message:
        return pruned(workflowId=self.id, runId=self.run_id)

    def _payloads(self, values: Sequence[Any]) -> Message | None:
        return self.calls.converter.payload_converter.to_payloads(values)
