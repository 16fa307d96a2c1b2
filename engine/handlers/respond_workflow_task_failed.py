"""RespondWorkflowTaskFailed."""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.workflowservice.v1 import (
    RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import checks, routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.handlers.started_task import check_workflow_task
from engine.history import closing, workflow_task
from engine.tokens import WorkflowTaskToken

TOO_LARGE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE


async def handle(
    services: Services, request: RespondWorkflowTaskFailedRequest, call: Call
) -> RespondWorkflowTaskFailedResponse:
    checks.identifier("identity", request.identity, required=False)
    checks.size("failure", request.failure)
    token = services.tokens.open(
        WorkflowTaskToken, request.task_token, "task_token", call.namespace_id
    )
    shard, run = await services.run(call.namespace_id, token.workflow_id, token.run_id)
    check_workflow_task(run, token)
    t = shard.begin(run)
    if request.cause == TOO_LARGE:
        closing.terminate(t, "the completion of a workflow task is too large to be sent")
    else:
        failure = request.failure if request.HasField("failure") else None
        workflow_task.fail(t, request.cause, failure, request.identity)
    shard.record(run, t)
    await shard.durable(run)
    return RespondWorkflowTaskFailedResponse()


HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondWorkflowTaskFailed",
    RespondWorkflowTaskFailedRequest,
    routing.by_token(WorkflowTaskToken),
    handle,
)
