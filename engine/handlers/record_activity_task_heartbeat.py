"""RecordActivityTaskHeartbeat, by token and by id."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatByIdResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import activity_target, checks, routing
from engine.handlers.activity_target import Target
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import activity
from engine.metering.facts import FactKind
from engine.tokens import ActivityTaskToken

Request = RecordActivityTaskHeartbeatRequest | RecordActivityTaskHeartbeatByIdRequest


async def handle(
    services: Services, request: RecordActivityTaskHeartbeatRequest, call: Call
) -> RecordActivityTaskHeartbeatResponse:
    target = await activity_target.by_token(services, request, call)
    cancel = await _record(target, request, FactKind.ACTIVITY_HEARTBEAT_RECORDED)
    return RecordActivityTaskHeartbeatResponse(cancel_requested=cancel)


async def handle_by_id(
    services: Services, request: RecordActivityTaskHeartbeatByIdRequest, call: Call
) -> RecordActivityTaskHeartbeatByIdResponse:
    target = await activity_target.by_id(services, request, call, started=True)
    cancel = await _record(target, request, FactKind.ACTIVITY_HEARTBEAT_RECORDED_BY_ID)
    return RecordActivityTaskHeartbeatByIdResponse(cancel_requested=cancel)


async def _record(target: Target, request: Request, kind: FactKind) -> bool:
    """Keep the details and count the call; whether the activity is asked to stop."""
    checks.size("details", request.details)
    shard, run, pending = target
    t = shard.begin(run)
    activity.heartbeat(t, pending, request.details if request.HasField("details") else None)
    t.count(kind)
    shard.record(run, t)
    await shard.durable(run)
    return bool(pending.cancel_requested_event_id)


HANDLER = Handler(
    WORKFLOW_SERVICE + "RecordActivityTaskHeartbeat",
    RecordActivityTaskHeartbeatRequest,
    routing.by_token(ActivityTaskToken),
    handle,
)
BY_ID_HANDLER = Handler(
    WORKFLOW_SERVICE + "RecordActivityTaskHeartbeatById",
    RecordActivityTaskHeartbeatByIdRequest,
    routing.by_workflow_id,
    handle_by_id,
)
