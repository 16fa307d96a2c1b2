"""PollActivityTaskQueue."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import PollActivityTaskQueueRequest

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import checks, polling, routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.matching.task import PollerInfo, QueueKey


async def handle(services: Services, request: PollActivityTaskQueueRequest, call: Call) -> bytes:
    checks.identifier("identity", request.identity, required=False)
    key = QueueKey(call.namespace_id, request.task_queue.name, "activity")
    poller = PollerInfo(request.identity, polling.request_id(services))
    queue = services.dispatcher.matching.queue(key)
    return await queue.poll(poller, polling.seconds(services, call))


HANDLER = Handler(
    WORKFLOW_SERVICE + "PollActivityTaskQueue",
    PollActivityTaskQueueRequest,
    routing.by_task_queue,
    handle,
)
