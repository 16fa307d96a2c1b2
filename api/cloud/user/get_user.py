"""GetUser."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetUserRequest, GetUserResponse

from api.cloud.services import Services
from api.cloud.user.message import user_message
from tenancy import Principal
from tenancy.members import grants_of


async def get_user(
    services: Services, request: GetUserRequest, caller: Principal
) -> GetUserResponse:
    """A member, or one who is invited."""
    control = services.control
    async with services.database.reading() as session:
        member = await control.members.get(session, caller, request.user_id)
        grants = await grants_of(session, member)
        names = await control.namespaces.names(session, caller)
    return GetUserResponse(user=user_message(member, grants, names))
