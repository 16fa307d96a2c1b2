"""ShutdownWorker."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import ShutdownWorkerRequest, ShutdownWorkerResponse

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import checks
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.ids import shard_of
from engine.matching.task import QueueKey


def _shard(services: Services, request: ShutdownWorkerRequest, call: Call) -> int | None:
    """The home of the sticky queue, whose tasks must go elsewhere at once."""
    checks.identifier("sticky_task_queue", request.sticky_task_queue, required=False)
    if not request.sticky_task_queue:
        return None
    count = services.directory.shard_count
    return shard_of(call.namespace_id, request.sticky_task_queue, count)


async def handle(
    services: Services, request: ShutdownWorkerRequest, call: Call
) -> ShutdownWorkerResponse:
    if request.sticky_task_queue:
        key = QueueKey(call.namespace_id, request.sticky_task_queue, "workflow")
        services.dispatcher.matching.queue(key).forget_poller(request.identity)
    return ShutdownWorkerResponse()


HANDLER = Handler(WORKFLOW_SERVICE + "ShutdownWorker", ShutdownWorkerRequest, _shard, handle)
