"""CompleteTasks: one call that carries many completions, each answered for itself.

Completions belong to different shards, so they are passed on one by one, side by side, as if each
had come alone.
"""

from __future__ import annotations

import asyncio
import logging

from api.dispatch import CellRpc
from api.errors import status_of
from engine.call import Call
from engine.errors import InvalidArgument
from engine.handlers.handler import CELL_SERVICE, TASK_SERVICE
from engine.history.protobuf import length_prefixed, message_tag
from engine.protocol.cell_pb2 import CompleteTaskRequest
from engine.protocol.tasks_pb2 import (
    CompleteTasksRequest,
    CompleteTasksResponse,
    TaskCompletion,
    TaskCompletionResult,
)

logger = logging.getLogger(__name__)

METHOD = TASK_SERVICE + "CompleteTasks"
METHOD_OF_ONE = CELL_SERVICE + "CompleteTask"
COMPLETIONS_PER_CALL_MAX = 100

RESULTS_TAG = message_tag(CompleteTasksResponse, "results")
ERROR_TAG = message_tag(TaskCompletionResult, "error")
COMPLETION_TAG = message_tag(CompleteTaskRequest, "completion")


def offering_complete_tasks(cell: CellRpc) -> CellRpc:
    """`cell`, which then also answers CompleteTasks."""

    async def call(method: str, request: bytes, caller: Call) -> bytes:
        if method != METHOD:
            return await cell(method, request, caller)
        return await _complete_all(cell, CompleteTasksRequest.FromString(request), caller)

    return call


async def _complete_all(cell: CellRpc, request: CompleteTasksRequest, caller: Call) -> bytes:
    completions = list(request.completions)
    if not 1 <= len(completions) <= COMPLETIONS_PER_CALL_MAX:
        raise InvalidArgument(f"completions must be 1 to {COMPLETIONS_PER_CALL_MAX}")
    for index, completion in enumerate(completions):
        if completion.WhichOneof("completion") is None:
            raise InvalidArgument(f"completions[{index}] is empty")
    common = CompleteTaskRequest(sticky_task_queue=request.sticky_task_queue).SerializeToString()
    if len(completions) == 1:
        results = [await _complete(cell, completions[0], common, caller)]
    else:
        results = await asyncio.gather(
            *(_complete(cell, completion, common, caller) for completion in completions)
        )
    return b"".join(results)


async def _complete(
    cell: CellRpc, completion: TaskCompletion, common: bytes, caller: Call
) -> bytes:
    """The serialized response with one result: the cell's answer goes on as it is."""
    request = length_prefixed(COMPLETION_TAG, completion.SerializeToString()) + common
    try:
        return await cell(METHOD_OF_ONE, request, caller)
    except Exception as error:
        refusal = status_of(error)
        if refusal.is_our_fault:
            logger.exception("completion_failed", extra={"method": METHOD})
        result = length_prefixed(ERROR_TAG, refusal.status.SerializeToString())
        return length_prefixed(RESULTS_TAG, result)
