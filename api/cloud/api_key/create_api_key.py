"""CreateApiKey."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import CreateApiKeyRequest, CreateApiKeyResponse

from api.cloud.api_key.message import check_owner, expiry_of, label_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from tenancy import AccountRole, KeyScope, Permission, PermissionDenied, Principal


async def create_api_key(
    services: Services, request: CreateApiKeyRequest, caller: Principal
) -> CreateApiKeyResponse:
    """A key that may do all that the caller may do now. A repeated request shows no token."""
    check_owner(request.spec, caller)
    async with services.control.acting(caller) as session:
        made = await services.control.api_keys.create(
            session,
            caller,
            label_of(request.spec),
            scope=_scope_of(caller),
            expires_at=expiry_of(request.spec),
            operation_id=request.async_operation_id or None,
        )
    return CreateApiKeyResponse(
        key_id=made.key.id, token=made.text, async_operation=operation_message(made.operation)
    )


def _scope_of(caller: Principal) -> KeyScope:
    if caller.account_permission is not None:
        return KeyScope(caller.account_permission)
    if caller.account_role is AccountRole.METRICS_READ:
        return KeyScope(Permission.READ)
    if not caller.grants:
        raise PermissionDenied(
            "api_key.create", caller.account_id, "ask for access to a namespace first"
        )
    return KeyScope(grants=caller.grants)
