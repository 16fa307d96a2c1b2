"""PollTasks: several tasks of one queue in one long poll."""

from __future__ import annotations

from temporalio.api.enums.v1 import TaskQueueKind
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers import checks, polling, routing
from engine.handlers.handler import TASK_SERVICE, Handler
from engine.limits import TASKS_PER_POLL_MAX
from engine.matching.queue import TaskQueue, poll_any
from engine.matching.task import PollerInfo, QueueKey, QueueKind
from engine.protocol.tasks_pb2 import PollTasksRequest, PollTasksResponse


async def handle(services: Services, request: PollTasksRequest, call: Call) -> PollTasksResponse:
    checks.identifier("identity", request.identity, required=False)
    wanted = _wanted(request)
    sticky = request.task_queue.kind == TaskQueueKind.TASK_QUEUE_KIND_STICKY
    queues: dict[QueueKind, TaskQueue] = {
        kind: services.dispatcher.matching.queue(
            QueueKey(call.namespace_id, request.task_queue.name, kind)
        )
        for kind in wanted
    }

    def poller() -> PollerInfo:
        return PollerInfo(request.identity, polling.request_id(services), sticky)

    seconds = polling.seconds(services, call)
    first = await poll_any(services.env, queues, poller(), seconds)
    found: dict[QueueKind, list[bytes]] = {kind: [] for kind in queues}
    for kind, task in first.items():
        found[kind].append(task)
    if first:
        for kind, queue in queues.items():
            more = wanted[kind] - len(found[kind])
            found[kind] += await queue.take([poller() for _ in range(more)])
    answer = PollTasksResponse()
    for task in found.get("workflow", ()):
        answer.workflow_tasks.append(PollWorkflowTaskQueueResponse.FromString(task))
    for task in found.get("activity", ()):
        answer.activity_tasks.append(PollActivityTaskQueueResponse.FromString(task))
    return answer


def _wanted(request: PollTasksRequest) -> dict[QueueKind, int]:
    workflows, activities = request.workflow_task_count_max, request.activity_task_count_max
    if min(workflows, activities) < 0 or not 1 <= workflows + activities <= TASKS_PER_POLL_MAX:
        raise InvalidArgument(
            "workflow_task_count_max and activity_task_count_max together must be"
            f" 1 to {TASKS_PER_POLL_MAX}"
        )
    counts: dict[QueueKind, int] = {"workflow": workflows, "activity": activities}
    return {kind: count for kind, count in counts.items() if count}


HANDLER = Handler(TASK_SERVICE + "PollTasks", PollTasksRequest, routing.by_task_queue, handle)
