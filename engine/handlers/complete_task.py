"""CompleteTask: one of the completions that CompleteTasks carries.

It is answered as if it had come alone. Besides, a worker that ends an activity may take along the
workflow task that this makes for it: no poller has to be woken, and no second call made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message

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

ENDS_OF_ACTIVITIES: Mapping[
    str, Callable[[Services, Any, Call, Inline | None], Awaitable[Message]]
] = {
    "activity_task_completed": respond_activity_task_completed.handle,
    "activity_task_failed": respond_activity_task_failed.handle,
    "activity_task_canceled": respond_activity_task_canceled.handle,
}

RESULT_TAG = message_tag(CompleteTaskResponse, "result")
ANSWER_TAGS = {name: message_tag(TaskCompletionResult, name) for name in COMPLETIONS}
WORKFLOW_TASK_TAG = message_tag(TaskCompletionResult, "workflow_task")


async def handle(services: Services, request: CompleteTaskRequest, call: Call) -> bytes:
    name, completion = _named(request)
    answer: Message | bytes
    tasks: list[bytes] = []
    if request.sticky_task_queue and name in ENDS_OF_ACTIVITIES:
        inline = _inline(services, request.sticky_task_queue, completion.identity)
        answer = await ENDS_OF_ACTIVITIES[name](services, completion, call, inline)
        tasks = await inline.workflow_tasks()
    else:
        answer = await COMPLETIONS[name].handle(services, completion, call)
    serialized = answer if isinstance(answer, bytes) else answer.SerializeToString()
    result = [length_prefixed(ANSWER_TAGS[name], serialized)]
    result += [length_prefixed(WORKFLOW_TASK_TAG, task) for task in tasks]
    return length_prefixed(RESULT_TAG, b"".join(result))


def _inline(services: Services, sticky_queue: str, identity: str) -> Inline:
    checks.identifier("sticky_task_queue", sticky_queue)
    poller = PollerInfo(identity, polling.request_id(services))
    return Inline(services.dispatcher, poller, sticky_queue=sticky_queue)


def _named(request: CompleteTaskRequest) -> tuple[str, Any]:
    name = request.completion.WhichOneof("completion")
    if name is None:
        raise InvalidArgument("completion is empty", "completion")
    return name, getattr(request.completion, name)


def _shard(services: Services, request: CompleteTaskRequest, call: Call) -> int | None:
    name, completion = _named(request)
    return COMPLETIONS[name].shard(services, completion, call)


HANDLER = Handler(CELL_SERVICE + "CompleteTask", CompleteTaskRequest, _shard, handle)
