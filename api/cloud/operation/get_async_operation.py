"""GetAsyncOperation."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import (
    GetAsyncOperationRequest,
    GetAsyncOperationResponse,
)

from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from tenancy import Principal


async def get_async_operation(
    services: Services, request: GetAsyncOperationRequest, caller: Principal
) -> GetAsyncOperationResponse:
    async with services.database.reading() as session:
        operation = await services.control.operations.get(
            session, caller, request.async_operation_id
        )
    return GetAsyncOperationResponse(async_operation=operation_message(operation))
