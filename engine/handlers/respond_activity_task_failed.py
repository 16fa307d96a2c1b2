"""RespondActivityTaskFailed, by token and by id."""

from __future__ import annotations

from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedByIdResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
)

from engine.call import Call
from engine.cell.inline import Inline
from engine.cell.services import Services
from engine.handlers import activity_target, checks, routing
from engine.handlers.activity_target import Target
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import activity
from engine.limits import PAYLOAD_BYTES_MAX
from engine.tokens import ActivityTaskToken

Request = RespondActivityTaskFailedRequest | RespondActivityTaskFailedByIdRequest


async def handle(
    services: Services,
    request: RespondActivityTaskFailedRequest,
    call: Call,
    inline: Inline | None = None,
) -> RespondActivityTaskFailedResponse:
    """`inline` takes along what the end of the activity makes."""
    await _fail(await activity_target.by_token(services, request, call), request, inline)
    return RespondActivityTaskFailedResponse()


async def handle_by_id(
    services: Services, request: RespondActivityTaskFailedByIdRequest, call: Call
) -> RespondActivityTaskFailedByIdResponse:
    await _fail(await activity_target.by_id(services, request, call, started=True), request)
    return RespondActivityTaskFailedByIdResponse()


async def _fail(target: Target, request: Request, inline: Inline | None = None) -> None:
    shard, run, pending = target
    t = shard.begin(run)
    if request.HasField("last_heartbeat_details"):
        checks.size("last_heartbeat_details", request.last_heartbeat_details)
        activity.heartbeat(t, pending, request.last_heartbeat_details)
        pending = run.state.activities[pending.scheduled_event_id]
    activity.fail(t, pending, _storable(request.failure), request.identity)
    shard.record(run, t, inline)
    await shard.durable(run)


def _storable(failure: Failure) -> Failure:
    """The failure, or what stands for one that is too large: the attempt failed either way."""
    if failure.ByteSize() <= PAYLOAD_BYTES_MAX:
        return failure
    replaced = Failure(message="Failure exceeds size limit.", source="Server")
    replaced.server_failure_info.non_retryable = False
    return replaced


HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondActivityTaskFailed",
    RespondActivityTaskFailedRequest,
    routing.by_token(ActivityTaskToken),
    handle,
)
BY_ID_HANDLER = Handler(
    WORKFLOW_SERVICE + "RespondActivityTaskFailedById",
    RespondActivityTaskFailedByIdRequest,
    routing.by_workflow_id,
    handle_by_id,
)
