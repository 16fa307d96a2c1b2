"""DeleteWorkflowExecution."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DeleteWorkflowExecutionResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import closing
from engine.history.workflow_task import ENGINE_IDENTITY


async def handle(
    services: Services, request: DeleteWorkflowExecutionRequest, call: Call
) -> DeleteWorkflowExecutionResponse:
    execution = request.workflow_execution
    shard, run = await services.run(call.namespace_id, execution.workflow_id, execution.run_id)
    if run.state.is_open:
        t = shard.begin(run)
        closing.terminate(t, "deleted", identity=ENGINE_IDENTITY)
        shard.record(run, t)
    shard.forget(run)
    await shard.durable(run)
    return DeleteWorkflowExecutionResponse()


HANDLER = Handler(
    WORKFLOW_SERVICE + "DeleteWorkflowExecution",
    DeleteWorkflowExecutionRequest,
    routing.by_execution("workflow_execution"),
    handle,
)
