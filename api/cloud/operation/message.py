"""An operation as the API tells it."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from temporalio.api.cloud.operation.v1 import AsyncOperation

from api.cloud.fields import timestamp
from tenancy import AsyncOperation as Operation
from tenancy import OperationState

CHECK_AGAIN_SECONDS = 1

STATES = {
    OperationState.PENDING: AsyncOperation.STATE_PENDING,
    OperationState.IN_PROGRESS: AsyncOperation.STATE_IN_PROGRESS,
    OperationState.FULFILLED: AsyncOperation.STATE_FULFILLED,
    OperationState.FAILED: AsyncOperation.STATE_FAILED,
}


def operation_message(operation: Operation) -> AsyncOperation:
    """`operation_type` is the name of the method that began it."""
    return AsyncOperation(
        id=operation.id,
        state=STATES[operation.state],
        check_duration=Duration(seconds=CHECK_AGAIN_SECONDS),
        operation_type=operation.kind.name.title().replace("_", ""),
        failure_reason=operation.failure or "",
        started_time=timestamp(operation.started_at or operation.created_at),
        finished_time=timestamp(operation.finished_at),
    )
