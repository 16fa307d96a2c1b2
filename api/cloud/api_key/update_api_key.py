"""UpdateApiKey."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import UpdateApiKeyRequest, UpdateApiKeyResponse

from api.cloud.api_key.message import expiry_of, label_of
from api.cloud.fields import resource_version_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from tenancy import InvalidField, Principal


async def update_api_key(
    services: Services, request: UpdateApiKeyRequest, caller: Principal
) -> UpdateApiKeyResponse:
    """Name, description and whether it is disabled; its owner and its end never change."""
    keys = services.control.api_keys
    expiry = expiry_of(request.spec)
    async with services.control.acting(caller) as session:
        key = await keys.get(session, caller, request.key_id)
        if expiry not in (None, key.expires_at):
            raise InvalidField(
                "spec.expiry_time", "never changes", "make a new key and revoke this one"
            )
        if request.spec.owner_id not in ("", key.user_id):
            raise InvalidField("spec.owner_id", "never changes", "leave it out")
        operation = await keys.update(
            session,
            caller,
            request.key_id,
            label_of(request.spec),
            resource_version=resource_version_of(request.resource_version),
            operation_id=request.async_operation_id or None,
        )
    return UpdateApiKeyResponse(async_operation=operation_message(operation))
