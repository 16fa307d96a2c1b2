"""CompleteTasks: one call that carries many completions, each answered for itself.

Completions belong to different shards, so they are passed on one by one, side by side, as if each
had come alone.
"""

from __future__ import annotations

import asyncio
import logging

from api.dispatch import Cell
from api.errors import status_of
from engine.call import Call
from engine.errors import InvalidArgument
from engine.protocol.tasks_pb2 import (
    CompleteTasksRequest,
    CompleteTasksResponse,
    TaskCompletion,
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
    for index, completion in enumerate(request.completions):
        if completion.WhichOneof("completion") is None:
            raise InvalidArgument(f"completions[{index}] is empty")
    results = await asyncio.gather(
        *(_complete(cell, completion, caller) for completion in request.completions)
    )
    return CompleteTasksResponse(results=results).SerializeToString()


async def _complete(cell: Cell, completion: TaskCompletion, caller: Call) -> TaskCompletionResult:
    name = completion.WhichOneof("completion")
    assert name is not None
    result = TaskCompletionResult()
    try:
        answer = await cell(METHODS[name], getattr(completion, name).SerializeToString(), caller)
    except Exception as error:
        refusal = status_of(error)
        if refusal.is_our_fault:
            logger.exception("completion_failed", extra={"rpc_method": METHODS[name]})
        result.error.CopyFrom(refusal.status)
    else:
        getattr(result, name).MergeFromString(answer)
        getattr(result, name).SetInParent()
    return result
