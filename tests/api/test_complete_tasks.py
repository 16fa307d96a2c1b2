"""Many completions in one call."""

from __future__ import annotations

import anyio
import pytest
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedResponse

from api.complete_tasks import (
    COMPLETIONS_PER_CALL_MAX,
    METHOD,
    METHOD_OF_ONE,
    offering_complete_tasks,
)
from api.errors import Code
from engine.call import Call
from engine.errors import InvalidArgument, NotFound
from engine.handlers.complete_task import COMPLETIONS
from engine.protocol.cell_pb2 import CompleteTaskRequest, CompleteTaskResponse
from engine.protocol.tasks_pb2 import (
    CompleteTasksRequest,
    CompleteTasksResponse,
    TaskCompletion,
    TaskCompletionResult,
)

CALL = Call("id-orders", "orders.acme")


async def cell(method: str, request: bytes, call: Call) -> bytes:
    """Knows workflow tasks by the token `good`, nothing else."""
    assert method == METHOD_OF_ONE
    completion = CompleteTaskRequest.FromString(request).completion
    if completion.workflow_task_completed.task_token != b"good":
        raise NotFound("workflow task not found.")
    answer = RespondWorkflowTaskCompletedResponse(reset_history_event_id=3)
    result = TaskCompletionResult(workflow_task_completed=answer)
    return CompleteTaskResponse(result=result).SerializeToString()


def complete(request: CompleteTasksRequest) -> CompleteTasksResponse:
    async def answer() -> bytes:
        return await offering_complete_tasks(cell)(METHOD, request.SerializeToString(), CALL)

    return CompleteTasksResponse.FromString(anyio.run(answer))


def workflow_task(token: bytes) -> TaskCompletion:
    completion = TaskCompletion()
    completion.workflow_task_completed.task_token = token
    return completion


def test_a_refused_completion_does_not_hold_up_the_others() -> None:
    batch = CompleteTasksRequest(
        completions=[workflow_task(b"good"), workflow_task(b"old"), workflow_task(b"good")]
    )
    first, second, third = complete(batch).results
    assert first == third
    assert first.workflow_task_completed.reset_history_event_id == 3
    assert second.error.code == Code.NOT_FOUND
    assert second.error.message == "workflow task not found."


@pytest.mark.parametrize("count", [0, COMPLETIONS_PER_CALL_MAX + 1])
def test_a_call_carries_a_bounded_number_of_completions(count: int) -> None:
    with pytest.raises(InvalidArgument, match=f"1 to {COMPLETIONS_PER_CALL_MAX}"):
        complete(CompleteTasksRequest(completions=[workflow_task(b"good")] * count))


def test_every_completion_has_its_method_and_its_result() -> None:
    fields = {field.name for field in TaskCompletion.DESCRIPTOR.fields}
    results = {field.name for field in TaskCompletionResult.DESCRIPTOR.oneofs[0].fields}
    assert fields == COMPLETIONS.keys() == results - {"error"}
