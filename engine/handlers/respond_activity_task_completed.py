"""RespondActivityTaskCompleted, by token and by id."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedByIdResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
)

from engine.call import Call
from engine.cell.inline import Inline
from engine.cell.services import Services
from engine.handlers import activity_target, checks, routing
from engine.handlers.activity_target import Target
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import activity
from engine.tokens import ActivityTaskToken

Request = RespondActivityTaskCompletedRequest | RespondActivityTaskCompletedByIdRequest


async def handle(
    services: Services,
    request: RespondActivityTaskCompletedRequest,
    call: Call,
    inline: Inline | None = None,
) -> RespondActivityTaskCompletedResponse:
    """`inline` takes along what the end of the activity makes."""
    await _complete(await activity_target.by_token(services, request, call), request, inline)
    return RespondActivityTaskCompletedResponse()


async def handle_by_id(
    services: Services, request: RespondActivityTaskCompletedByIdRequest, call: Call
) -> RespondActivityTaskCompletedByIdResponse:
    target = await activity_target.by_id(services, request, call, started=False)
    await _complete(target, request)
    return RespondActivityTaskCompletedByIdResponse()


async def _complete(target: Target, request: Request, inline: Inline | None = None) -> None:
    checks.size("result", request.result)
    shard, run, pending = target
    t = shard.begin(run)
    result = request.result if request.HasField("result") else None
    activity.complete(t, pending, result, request.identity)
    shard.record(run, t, inline)
    await shard.durable(run)


HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondActivityTaskCompleted",
    RespondActivityTaskCompletedRequest,
    routing.by_token(ActivityTaskToken),
    handle,
)
BY_ID_HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondActivityTaskCompletedById",
    RespondActivityTaskCompletedByIdRequest,
    routing.by_workflow_id,
    handle_by_id,
)
