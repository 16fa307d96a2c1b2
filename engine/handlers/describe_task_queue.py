"""DescribeTaskQueue."""

from __future__ import annotations

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers import routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history.protobuf import set_timestamp
from engine.matching.task import QueueKey, QueueKind


async def handle(
    services: Services, request: DescribeTaskQueueRequest, call: Call
) -> DescribeTaskQueueResponse:
    activities = request.task_queue_type == TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    kind: QueueKind = "activity" if activities else "workflow"
    key = QueueKey(call.namespace_id, request.task_queue.name, kind)
    answer = DescribeTaskQueueResponse()
    queue = services.dispatcher.matching.known(key)
    if queue is not None:
        for identity, at_ns in queue.pollers():
            poller = answer.pollers.add(identity=identity)
            set_timestamp(poller.last_access_time, at_ns)
        answer.task_queue_status.backlog_count_hint = queue.backlog_count
        answer.stats.approximate_backlog_count = queue.backlog_count
    return answer


HANDLER = Handler(
    WORKFLOW_SERVICE + "DescribeTaskQueue",
    DescribeTaskQueueRequest,
    routing.by_task_queue,
    handle,
)
