"""CompleteTask: one of the completions that CompleteTasks carries.

It is answered as if it had come alone. Besides, a worker that ends an activity may take along the
workflow task that this makes for it: no poller has to be woken, and no second call made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from engine.call import Call
from engine.cell.inline import Inline
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers import (
    checks,
    polling,
    respond_activity_task_canceled,
    respond_activity_task_completed,
    respond_activity_task_failed,
    respond_query_task_completed,
    respond_workflow_task_completed,
    respond_workflow_task_failed,
)
from engine.handlers.handler import CELL_SERVICE, Handler
from engine.history.protobuf import length_prefixed, message_tag
from engine.matching.task import PollerInfo
from engine.protocol.cell_pb2 import CompleteTaskRequest, CompleteTaskResponse
from engine.protocol.tasks_pb2 import TaskCompletionResult

COMPLETIONS: Mapping[str, Handler] = {
    "workflow_task_completed": respond_workflow_task_completed.HANDLER,
    "workflow_task_failed": respond_workflow_task_failed.HANDLER,
    "query_task_completed": respond_query_task_completed.HANDLER,
    "activity_task_completed": respond_activity_task_completed.HANDLER,
    "activity_task_failed": respond_activity_task_failed.HANDLER,
    "activity_task_canceled": respond_activity_task_canceled.HANDLER,
}
"""What a completion may be, by the field that holds it; results have fields of the same names."""

ENDS_OF_ACTIVITIES: Mapping[str, Callable[..., Awaitable[None]]] = {
    "activity_task_completed": respond_activity_task_completed.complete,
    "activity_task_failed": respond_activity_task_failed.fail,
    "activity_task_canceled": respond_activity_task_canceled.cancel,
}

RESULT_TAG = message_tag(CompleteTaskResponse, "result")
ANSWER_TAGS = {name: message_tag(TaskCompletionResult, name) for name in COMPLETIONS}
WORKFLOW_TASK_TAG = message_tag(TaskCompletionResult, "workflow_task")


async def handle(services: Services, request: CompleteTaskRequest, call: Call) -> bytes:
    name, completion = _named(request)
    if not request.sticky_task_queue or name not in ENDS_OF_ACTIVITIES:
        answer = await COMPLETIONS[name].handle(services, completion, call)
        serialized = answer if isinstance(answer, bytes) else answer.SerializeToString()
        return length_prefixed(RESULT_TAG, length_prefixed(ANSWER_TAGS[name], serialized))
    checks.identifier("sticky_task_queue", request.sticky_task_queue)
    inline = Inline(
        services.dispatcher,
        PollerInfo(completion.identity, polling.request_id(services)),
        sticky_queue=request.sticky_task_queue,
    )
    await ENDS_OF_ACTIVITIES[name](services, completion, call, inline)
    tasks = await inline.workflow_tasks()
    with_task = [length_prefixed(WORKFLOW_TASK_TAG, task) for task in tasks]
    return length_prefixed(
        RESULT_TAG, length_prefixed(ANSWER_TAGS[name], b"") + b"".join(with_task)
    )


def _named(request: CompleteTaskRequest) -> tuple[str, Any]:
    name = request.completion.WhichOneof("completion")
    if name is None:
        raise InvalidArgument("completion is empty")
    return name, getattr(request.completion, name)


def _shard(services: Services, request: CompleteTaskRequest, call: Call) -> int | None:
    name, completion = _named(request)
    return COMPLETIONS[name].shard(services, completion, call)


HANDLER = Handler(CELL_SERVICE + "CompleteTask", CompleteTaskRequest, _shard, handle)
