"""RequestCancelWorkflowExecution."""

from __future__ import annotations

from temporalio.api.history.v1 import WorkflowExecutionCancelRequestedEventAttributes
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import checks, routing
from engine.handlers.chain import addressed
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import workflow_task


async def handle(
    services: Services, request: RequestCancelWorkflowExecutionRequest, call: Call
) -> RequestCancelWorkflowExecutionResponse:
    checks.identifier("identity", request.identity, required=False)
    checks.size("reason", request)
    shard, run = await addressed(
        services, call, request.workflow_execution, request.first_execution_run_id
    )
    state = run.state
    if state.is_open and not state.run.cancel_requested:
        t = shard.begin(run)
        t.append(
            WorkflowExecutionCancelRequestedEventAttributes(
                cause=request.reason, identity=request.identity
            )
        )
        # The workflow learns of it even where its first task was to come later.
        state.volatile.backoff_until_ns = 0
        workflow_task.schedule(t)
        shard.record(run, t)
    await shard.durable(run)
    return RequestCancelWorkflowExecutionResponse()


HANDLER = Handler(
    WORKFLOW_SERVICE + "RequestCancelWorkflowExecution",
    RequestCancelWorkflowExecutionRequest,
    routing.by_execution("workflow_execution"),
    handle,
    complete=routing.fill_request_id,
)
