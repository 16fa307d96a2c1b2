"""CompleteTasks: one call that carries many completions, each answered for itself.

Completions belong to different shards, so they are passed on one by one, side by side, as if each
had come alone.
"""

from __future__ import annotations

import asyncio
import logging

from google.protobuf.message import Message

from api.dispatch import Cell
from api.errors import status_of
from engine.call import Call
from engine.errors import InvalidArgument
from engine.history.protobuf import length_prefixed, message_tag
from engine.protocol.tasks_pb2 import (
    CompleteTasksRequest,
    CompleteTasksResponse,
    TaskCompletionResult,
)

logger = logging.getLogger(__name__)

METHOD = "perdure.api.v1.TaskService.CompleteTasks"
COMPLETIONS_PER_CALL_MAX = 100
SERVICE = "temporal.api.workflowservice.v1.WorkflowService."
METHODS = {
    "workflow_task_completed": SERVICE + "RespondWorkflowTaskCompleted",
    "workflow_task_failed": SERVICE + "RespondWorkflowTaskFailed",
    "query_task_completed": SERVICE + "RespondQueryTaskCompleted",
    "activity_task_completed": SERVICE + "RespondActivityTaskCompleted",
    "activity_task_failed": SERVICE + "RespondActivityTaskFailed",
    "activity_task_canceled": SERVICE + "RespondActivityTaskCanceled",
}
"""What a completion may be, by the field that holds it; results have fields of the same names."""

RESULTS_TAG = message_tag(CompleteTasksResponse, "results")
ERROR_TAG = message_tag(TaskCompletionResult, "error")
ANSWER_TAGS = {name: message_tag(TaskCompletionResult, name) for name in METHODS}


def offering_complete_tasks(cell: Cell) -> Cell:
    """`cell`, which then also answers CompleteTasks."""

    async def call(method: str, request: bytes, caller: Call) -> bytes:
        if method != METHOD:
            return await cell(method, request, caller)
        return await _complete_all(cell, CompleteTasksRequest.FromString(request), caller)

    return call


async def _complete_all(cell: Cell, request: CompleteTasksRequest, caller: Call) -> bytes:
    if not 1 <= len(request.completions) <= COMPLETIONS_PER_CALL_MAX:
        raise InvalidArgument(f"completions must be 1 to {COMPLETIONS_PER_CALL_MAX}")
    named = [
        (completion.WhichOneof("completion"), completion) for completion in request.completions
    ]
    for index, (name, _) in enumerate(named):
        if name is None:
            raise InvalidArgument(f"completions[{index}] is empty")
    results = await asyncio.gather(
        *(_complete(cell, name, getattr(completion, name), caller) for name, completion in named)
    )
    return b"".join(length_prefixed(RESULTS_TAG, result) for result in results)


async def _complete(cell: Cell, name: str, completion: Message, caller: Call) -> bytes:
    """The serialized result: the cell's answer goes on as it is."""
    try:
        answer = await cell(METHODS[name], completion.SerializeToString(), caller)
    except Exception as error:
        refusal = status_of(error)
        if refusal.is_our_fault:
            logger.exception("completion_failed", extra={"rpc_method": METHODS[name]})
        return length_prefixed(ERROR_TAG, refusal.status.SerializeToString())
    return length_prefixed(ANSWER_TAGS[name], answer)
