"""RespondActivityTaskCanceled, by token and by id."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCanceledByIdResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCanceledResponse,
)

from engine.call import Call
from engine.cell.inline import Inline
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers import activity_target, checks, routing
from engine.handlers.activity_target import Target
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import activity
from engine.tokens import ActivityTaskToken

Request = RespondActivityTaskCanceledRequest | RespondActivityTaskCanceledByIdRequest
NOT_REQUESTED = "unable to mark activity as canceled without activity being request canceled first"


async def handle(
    services: Services,
    request: RespondActivityTaskCanceledRequest,
    call: Call,
    inline: Inline | None = None,
) -> RespondActivityTaskCanceledResponse:
    """`inline` takes along what the end of the activity makes."""
    await _cancel(await activity_target.by_token(services, request, call), request, inline)
    return RespondActivityTaskCanceledResponse()


async def handle_by_id(
    services: Services, request: RespondActivityTaskCanceledByIdRequest, call: Call
) -> RespondActivityTaskCanceledByIdResponse:
    await _cancel(await activity_target.by_id(services, request, call, started=True), request)
    return RespondActivityTaskCanceledByIdResponse()


async def _cancel(target: Target, request: Request, inline: Inline | None = None) -> None:
    checks.size("details", request.details)
    shard, run, pending = target
    if not pending.cancel_requested_event_id:
        raise InvalidArgument(NOT_REQUESTED, activity_id=pending.activity_id)
    t = shard.begin(run)
    details = request.details if request.HasField("details") else None
    activity.cancel(t, pending, details, request.identity)
    shard.record(run, t, inline)
    await shard.durable(run)


HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondActivityTaskCanceled",
    RespondActivityTaskCanceledRequest,
    routing.by_token(ActivityTaskToken),
    handle,
)
BY_ID_HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondActivityTaskCanceledById",
    RespondActivityTaskCanceledByIdRequest,
    routing.by_workflow_id,
    handle_by_id,
)
