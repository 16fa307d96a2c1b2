"""PollTasks: several tasks of one queue in one long poll."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

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
from engine.matching.queue import TaskQueue
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
    first = await _first(queues, poller, seconds)
    found: dict[QueueKind, list[bytes]] = {kind: list(first.get(kind, ())) for kind in queues}
    if any(found.values()):
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


async def _first(
    queues: dict[QueueKind, TaskQueue], poller: Callable[[], PollerInfo], seconds: float
) -> dict[QueueKind, list[bytes]]:
    """The first task of any of the queues; two where both came at once."""
    polls = {
        kind: asyncio.ensure_future(queue.poll(poller(), seconds)) for kind, queue in queues.items()
    }
    try:
        await asyncio.wait(polls.values(), return_when=asyncio.FIRST_COMPLETED)
    finally:
        # A poll that ends because it is cancelled hands its task, if it got one, to the next.
        for poll in polls.values():
            poll.cancel()
    await asyncio.wait(polls.values())
    tasks = {kind: poll.result() for kind, poll in polls.items() if not poll.cancelled()}
    return {kind: [task] for kind, task in tasks.items() if task}


HANDLER = Handler(TASK_SERVICE + "PollTasks", PollTasksRequest, routing.by_task_queue, handle)
