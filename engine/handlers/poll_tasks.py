"""PollTasks: several tasks of one queue in one long poll."""

from __future__ import annotations

from temporalio.api.enums.v1 import TaskQueueKind

from engine.call import Call
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers import checks, polling, routing
from engine.handlers.handler import TASK_SERVICE, Handler
from engine.history.protobuf import length_prefixed, message_tag
from engine.limits import TASKS_PER_POLL_MAX
from engine.matching.queue import poll
from engine.matching.task import PollerInfo, QueueKey, QueueKind
from engine.protocol.tasks_pb2 import PollTasksRequest, PollTasksResponse

TAGS: dict[QueueKind, bytes] = {
    "workflow": message_tag(PollTasksResponse, "workflow_tasks"),
    "activity": message_tag(PollTasksResponse, "activity_tasks"),
}


async def handle(services: Services, request: PollTasksRequest, call: Call) -> bytes:
    checks.identifier("identity", request.identity, required=False)
    wanted = _wanted(request)
    room = [
        (services.dispatcher.matching.queue(_key(call, request, kind)), count)
        for kind, count in wanted.items()
    ]
    sticky = request.task_queue.kind == TaskQueueKind.TASK_QUEUE_KIND_STICKY
    poller = PollerInfo(request.identity, polling.request_id(services), sticky)
    found = await poll(services.env, room, poller, polling.seconds(services, call))
    return b"".join(
        length_prefixed(TAGS[kind], task)
        for kind, tasks in zip(wanted, found, strict=True)
        for task in tasks
    )


def _key(call: Call, request: PollTasksRequest, kind: QueueKind) -> QueueKey:
    return QueueKey(call.namespace_id, request.task_queue.name, kind)


def _wanted(request: PollTasksRequest) -> dict[QueueKind, int]:
    workflows, activities = request.workflow_task_count_max, request.activity_task_count_max
    if min(workflows, activities) < 0 or not 1 <= workflows + activities <= TASKS_PER_POLL_MAX:
        raise InvalidArgument(
            "workflow_task_count_max and activity_task_count_max together must be"
            f" 1 to {TASKS_PER_POLL_MAX}",
            "workflow_task_count_max",
        )
    counts: dict[QueueKind, int] = {"workflow": workflows, "activity": activities}
    return {kind: count for kind, count in counts.items() if count}


HANDLER = Handler(TASK_SERVICE + "PollTasks", PollTasksRequest, routing.by_task_queue, handle)
