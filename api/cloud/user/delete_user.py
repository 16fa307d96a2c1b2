"""DeleteUser."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import DeleteUserRequest, DeleteUserResponse

from api.cloud.fields import resource_version_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from tenancy import Principal


async def delete_user(
    services: Services, request: DeleteUserRequest, caller: Principal
) -> DeleteUserResponse:
    """Removes a member with its sessions and keys, or takes an invitation back.

    The version may be left out: who must go does not stay because of a change of grants. Users may
    leave by themselves.
    """
    version = request.resource_version
    async with services.control.acting(caller) as session:
        operation = await services.control.members.remove(
            session,
            caller,
            request.user_id,
            resource_version=resource_version_of(version) if version else None,
            operation_id=request.async_operation_id or None,
        )
    return DeleteUserResponse(async_operation=operation_message(operation))
