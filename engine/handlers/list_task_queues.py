"""ListTaskQueues."""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.api.enums.v1 import TaskQueueType

from engine.call import Call
from engine.cell import remote
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers.handler import TASK_SERVICE, Handler, anywhere
from engine.history.protobuf import set_timestamp
from engine.limits import VISIBILITY_PAGE_SIZE_MAX
from engine.matching.queue import TaskQueue
from engine.protocol.tasks_pb2 import (
    ListTaskQueuesRequest,
    ListTaskQueuesResponse,
    TaskQueueSummary,
)
from engine.tokens import TaskQueuePageToken

TYPES = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


async def handle(
    services: Services, request: ListTaskQueuesRequest, call: Call
) -> ListTaskQueuesResponse:
    if not 0 <= request.page_size <= VISIBILITY_PAGE_SIZE_MAX:
        raise InvalidArgument(f"page_size must be 0 to {VISIBILITY_PAGE_SIZE_MAX}", "page_size")
    after = ("", 0)
    if request.next_page_token:
        token = services.tokens.open(
            TaskQueuePageToken, request.next_page_token, "next_page_token", call.namespace_id
        )
        after = (token.name, token.type)
    found = summaries(services.dispatcher.matching.of_namespace(call.namespace_id))
    for part in await services.elsewhere(remote.TASK_QUEUES, call.namespace_id.encode()):
        found += ListTaskQueuesResponse.FromString(part).task_queues
    found.sort(key=lambda queue: (queue.name, queue.type))
    size = request.page_size or VISIBILITY_PAGE_SIZE_MAX
    page = [queue for queue in found if (queue.name, queue.type) > after][: size + 1]
    answer = ListTaskQueuesResponse(task_queues=page[:size])
    if len(page) > size:
        last = page[size - 1]
        token = TaskQueuePageToken(call.namespace_id, last.name, last.type)
        answer.next_page_token = services.tokens.seal(token)
    return answer


def summaries(queues: Iterable[TaskQueue]) -> list[TaskQueueSummary]:
    """What a node knows of its queues; those of one worker alone are not told."""
    found = []
    for queue in queues:
        if queue.is_sticky:
            continue
        pollers = queue.pollers()
        summary = TaskQueueSummary(
            name=queue.key.name,
            type=TYPES[queue.key.kind],
            poller_count=len(pollers),
            backlog_count_hint=queue.backlog_count,
        )
        if pollers:
            set_timestamp(summary.last_polled_at, pollers[-1][1])
        if pollers or queue.backlog_count:
            found.append(summary)
    return found


HANDLER = Handler(TASK_SERVICE + "ListTaskQueues", ListTaskQueuesRequest, anywhere, handle)
