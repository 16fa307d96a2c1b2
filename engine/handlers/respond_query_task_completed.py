"""RespondQueryTaskCompleted."""

from __future__ import annotations

from temporalio.api.enums.v1 import QueryResultType
from temporalio.api.workflowservice.v1 import (
    RespondQueryTaskCompletedRequest,
    RespondQueryTaskCompletedResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.errors import NotFound
from engine.handlers import checks, routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.tokens import QueryTaskToken

ANSWERED = QueryResultType.QUERY_RESULT_TYPE_ANSWERED


async def handle(
    services: Services, request: RespondQueryTaskCompletedRequest, call: Call
) -> RespondQueryTaskCompletedResponse:
    checks.size("query_result", request.query_result)
    token = services.tokens.open(
        QueryTaskToken, request.task_token, "task_token", call.namespace_id
    )
    _, run = await services.run(call.namespace_id, token.workflow_id, token.run_id)
    query = run.queries.take(token.query_id)
    if query is None:
        raise NotFound("query task not found, or already expired")
    if request.completed_type == ANSWERED:
        query.answering(request.query_result)()
    else:
        query.refusing(request.error_message, request.failure.SerializeToString())()
    return RespondQueryTaskCompletedResponse()


HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondQueryTaskCompleted",
    RespondQueryTaskCompletedRequest,
    routing.by_token(QueryTaskToken),
    handle,
)
