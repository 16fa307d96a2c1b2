"""CreateUser."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import CreateUserRequest, CreateUserResponse

from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from api.cloud.user.message import access_of
from tenancy import Principal


async def create_user(
    services: Services, request: CreateUserRequest, caller: Principal
) -> CreateUserResponse:
    """Invites by a letter. The user is there, with an invitation, and logs in once it joined."""
    control, spec = services.control, request.spec
    async with control.acting(caller) as session:
        operation = await control.members.invite(
            session,
            caller,
            spec.email,
            await access_of(control, session, caller, spec.access),
            operation_id=request.async_operation_id or None,
        )
    return CreateUserResponse(
        user_id=operation.resource_id, async_operation=operation_message(operation)
    )
