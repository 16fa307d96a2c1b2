"""UpdateUser."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import UpdateUserRequest, UpdateUserResponse

from api.cloud.fields import resource_version_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from api.cloud.user.message import access_of
from tenancy import InvalidField, Principal


async def update_user(
    services: Services, request: UpdateUserRequest, caller: Principal
) -> UpdateUserResponse:
    """Replaces role and namespace access, also of one who is invited; the address stays."""
    control, spec = services.control, request.spec
    async with control.acting(caller) as session:
        member = await control.members.get(session, caller, request.user_id)
        if spec.email.lower() not in ("", member.email):
            raise InvalidField("spec.email", "never changes", "invite the other address")
        operation = await control.members.update(
            session,
            caller,
            request.user_id,
            await access_of(control, session, caller, spec.access),
            resource_version=resource_version_of(request.resource_version),
            operation_id=request.async_operation_id or None,
        )
    return UpdateUserResponse(async_operation=operation_message(operation))
