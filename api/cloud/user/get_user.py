"""GetUser."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetUserRequest, GetUserResponse

from api.cloud.services import Services
from api.cloud.user.message import user_message
from tenancy import Principal
from tenancy.users import principals_of


async def get_user(
    services: Services, request: GetUserRequest, caller: Principal
) -> GetUserResponse:
    control = services.control
    async with services.database.reading() as session:
        user = await control.users.get(session, caller, request.user_id)
        principals = await principals_of(session, [user])
        names = await control.namespaces.names(session, caller)
    return GetUserResponse(user=user_message(user, principals[user.id], names))
