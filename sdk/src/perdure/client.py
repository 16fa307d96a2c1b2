"""Starting workflows, and finding those there are."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from uuid import uuid4

from perdure.converter import DataConverter, search_attribute_fields
from perdure.definition import Function, name_and_result
from perdure.exceptions import RPCError, WorkflowAlreadyStartedError
from perdure.execution import (
    WorkflowExecution,
    WorkflowExecutionCount,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHistory,
    count_of,
    execution_of,
)
from perdure.handle import WorkflowHandle
from perdure.policies import RetryPolicy, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from perdure.protojson import Message, pruned, set_duration
from perdure.telemetry import Telemetry
from perdure.tls import TLSConfig
from perdure.transport import NamespaceCalls, Transport

if TYPE_CHECKING:
    import ssl

__all__ = [
    "Client",
    "WorkflowExecution",
    "WorkflowExecutionCount",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowHandle",
    "WorkflowHistory",
]

_T = TypeVar("_T")

DEFAULT_ADDRESS = "127.0.0.1:8233"
LIST_PAGE_EXECUTION_COUNT = 100


class Client:
    """One namespace at one address; belongs to the event loop that first uses it."""

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        *,
        data_converter: DataConverter | None = None,
        identity: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.transport = transport
        self.namespace = namespace
        self.data_converter = data_converter or DataConverter()
        self.identity = identity or f"{os.getpid()}@{socket.gethostname()}"
        self.calls = NamespaceCalls(transport, namespace, self.data_converter, telemetry)

    @staticmethod
    async def connect(
        address: str = DEFAULT_ADDRESS,
        *,
        namespace: str = "default",
        api_key: str | None = None,
        data_converter: DataConverter | None = None,
        identity: str | None = None,
        tls: TLSConfig | ssl.SSLContext | bool = True,
        telemetry: Telemetry | None = None,
    ) -> Client:
        """A client of ``host:port`` or a URL; the first call opens the first connection.

        ``tls`` has the client certificate, if there is one; a URL with ``http://`` uses none.
        ``telemetry`` is also that of the workers made with this client.
        """
        return Client(
            Transport(address, api_key=api_key, tls=tls),
            namespace,
            data_converter=data_converter,
            identity=identity,
            telemetry=telemetry,
        )

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start_workflow(
        self,
        workflow: Function | type | str,
        *values: Any,
        id: str,
        task_queue: str,
        args: Sequence[Any] = (),
        result_type: Any = None,
        execution_timeout: timedelta | None = None,
        run_timeout: timedelta | None = None,
        task_timeout: timedelta | None = None,
        id_reuse_policy: WorkflowIDReusePolicy | None = None,
        id_conflict_policy: WorkflowIDConflictPolicy | None = None,
        retry_policy: RetryPolicy | None = None,
        cron_schedule: str | None = None,
        memo: Mapping[str, Any] | None = None,
        search_attributes: Mapping[str, Any] | None = None,
        static_summary: str | None = None,
        static_details: str | None = None,
        start_delay: timedelta | None = None,
        start_signal: str | None = None,
        start_signal_args: Sequence[Any] = (),
        request_id: str | None = None,
    ) -> WorkflowHandle:
        """Start a workflow (or with ``start_signal`` signal it, and start it if it is not open).

        Raises WorkflowAlreadyStartedError. The same ``request_id`` starts at most once.
        """
        name, hint = name_and_result(workflow, "workflow")
        converter = self.data_converter.payload_converter
        summary = {
            field: converter.to_payload(text)
            for field, text in (("summary", static_summary), ("details", static_details))
            if text is not None
        }
        body = pruned(
            workflowType={"name": name},
            taskQueue={"name": task_queue},
            input=converter.to_payloads([*values, *args]),
            identity=self.identity,
            requestId=request_id or str(uuid4()),
            workflowIdReusePolicy=id_reuse_policy,
            workflowIdConflictPolicy=id_conflict_policy,
            retryPolicy=retry_policy and retry_policy.to_message(),
            cronSchedule=cron_schedule,
            memo=memo and {"fields": converter.to_payload_map(memo)},
            searchAttributes=search_attributes
            and {"indexedFields": search_attribute_fields(search_attributes)},
            userMetadata=summary or None,
        )
        set_duration(body, "workflowExecutionTimeout", execution_timeout)
        set_duration(body, "workflowRunTimeout", run_timeout)
        set_duration(body, "workflowTaskTimeout", task_timeout)
        set_duration(body, "workflowStartDelay", start_delay)
        path: tuple[str, ...] = ("workflows", id)
        if start_signal is not None:
            path = (*path, "signal-with-start", start_signal)
            body |= pruned(signalInput=converter.to_payloads(start_signal_args))
        with self.calls.telemetry.calling("StartWorkflow", name, id):
            body |= pruned(header=self.calls.telemetry.header())
            run_id = await self._start(path, body, id, name)
        return WorkflowHandle(
            self.calls,
            self.identity,
            id,
            result_run_id=run_id,
            first_execution_run_id=run_id,
            result_type=result_type or hint,
        )

    async def _start(
        self, path: tuple[str, ...], body: Message, workflow_id: str, name: str
    ) -> str:
        try:
            answer = await self.calls.post(*path, body=body)
        except RPCError as error:
            detail = error.details[0] if error.details else {}
            if not str(detail.get("@type")).endswith("WorkflowExecutionAlreadyStartedFailure"):
                raise
            run_id = detail.get("runId")
            raise WorkflowAlreadyStartedError(workflow_id, name, run_id) from error
        return str(answer.get("runId", ""))

    @overload
    async def execute_workflow(
        self, workflow: Callable[..., Awaitable[_T]], *values: Any, **options: Any
    ) -> _T: ...
    @overload
    async def execute_workflow(self, workflow: type | str, *values: Any, **options: Any) -> Any: ...
    async def execute_workflow(
        self, workflow: Function | type | str, *values: Any, **options: Any
    ) -> Any:
        """Start a workflow and wait for its result; options as in start_workflow."""
        handle = await self.start_workflow(workflow, *values, **options)
        return await handle.result()

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
    ) -> WorkflowHandle:
        """The handle of a workflow that may or may not exist."""
        return WorkflowHandle(
            self.calls,
            self.identity,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def get_workflow_handle_for(
        self, workflow: Function | type, workflow_id: str, *, run_id: str | None = None
    ) -> WorkflowHandle:
        """The handle of a workflow of a known class, whose result type it takes."""
        hint = name_and_result(workflow, "workflow")[1]
        return self.get_workflow_handle(workflow_id, run_id=run_id, result_type=hint)

    async def list_workflows(
        self,
        query: str | None = None,
        *,
        limit: int | None = None,
        page_size: int = LIST_PAGE_EXECUTION_COUNT,
    ) -> AsyncIterator[WorkflowExecution]:
        """The runs that match a list filter, running ones first, then the last closed."""
        count, token = 0, ""
        while True:
            answer = await self.calls.get(
                "workflows", query=query, pageSize=page_size, nextPageToken=token
            )
            for info in answer.get("executions", ()):
                if count == limit:
                    return
                yield execution_of(info, self.data_converter)
                count += 1
            token = answer.get("nextPageToken", "")
            if not token:
                return

    async def count_workflows(self, query: str | None = None) -> WorkflowExecutionCount:
        """How many runs match a list filter."""
        answer = await self.calls.get("workflow-count", query=query)
        return count_of(answer, self.data_converter)
