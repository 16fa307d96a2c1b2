"""DeleteApiKey."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import DeleteApiKeyRequest, DeleteApiKeyResponse

from api.cloud.fields import resource_version_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from tenancy import Principal


async def delete_api_key(
    services: Services, request: DeleteApiKeyRequest, caller: Principal
) -> DeleteApiKeyResponse:
    """Revokes it. The version may be left out: a leaked key must not outlive a rename."""
    version = request.resource_version
    async with services.control.acting(caller) as session:
        operation = await services.control.api_keys.revoke(
            session,
            caller,
            request.key_id,
            resource_version=resource_version_of(version) if version else None,
            operation_id=request.async_operation_id or None,
        )
    return DeleteApiKeyResponse(async_operation=operation_message(operation))
