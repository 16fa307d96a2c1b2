"""TerminateWorkflowExecution."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    TerminateWorkflowExecutionRequest,
    TerminateWorkflowExecutionResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.errors import NotFound
from engine.handlers import checks, routing
from engine.handlers.chain import addressed
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import closing


async def handle(
    services: Services, request: TerminateWorkflowExecutionRequest, call: Call
) -> TerminateWorkflowExecutionResponse:
    checks.identifier("identity", request.identity, required=False)
    checks.size("details", request)
    shard, run = await addressed(
        services, call, request.workflow_execution, request.first_execution_run_id
    )
    if not run.state.is_open:
        raise NotFound("workflow execution already completed", run_id=run.key.run_id)
    t = shard.begin(run)
    details = request.details if request.HasField("details") else None
    closing.terminate(t, request.reason, details, request.identity)
    shard.record(run, t)
    await shard.durable(run)
    return TerminateWorkflowExecutionResponse()


HANDLER = Handler(
    WORKFLOW_SERVICE + "TerminateWorkflowExecution",
    TerminateWorkflowExecutionRequest,
    routing.by_execution("workflow_execution"),
    handle,
)
