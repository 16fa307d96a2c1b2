"""ResetStickyTaskQueue."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    ResetStickyTaskQueueRequest,
    ResetStickyTaskQueueResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler


async def handle(
    services: Services, request: ResetStickyTaskQueueRequest, call: Call
) -> ResetStickyTaskQueueResponse:
    execution = request.execution
    shard, run = await services.run(call.namespace_id, execution.workflow_id, execution.run_id)
    if run.state.volatile.sticky_queue:
        t = shard.begin(run)
        run.state.volatile.sticky_queue = ""
        shard.record(run, t)
    await shard.durable(run)
    return ResetStickyTaskQueueResponse()


HANDLER = Handler(
    WORKFLOW_SERVICE + "ResetStickyTaskQueue",
    ResetStickyTaskQueueRequest,
    routing.by_execution("execution"),
    handle,
)
