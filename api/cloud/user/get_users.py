"""GetUsers."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetUsersRequest, GetUsersResponse

from api.cloud.fields import page
from api.cloud.services import Services
from api.cloud.user.message import user_message
from tenancy import Principal
from tenancy.users import principals_of


async def get_users(
    services: Services, request: GetUsersRequest, caller: Principal
) -> GetUsersResponse:
    """By e-mail. `namespace` selects those who were given access to that one."""
    control = services.control
    async with services.database.reading() as session:
        users = await control.users.visible_to(session, caller)
        principals = await principals_of(session, users)
        names = await control.namespaces.names(session, caller)
        if request.namespace:
            namespace = await control.namespaces.find(session, caller, request.namespace)
            users = [user for user in users if namespace.id in principals[user.id].grants]
    if request.email:
        users = [user for user in users if user.email == request.email.lower()]
    shown, next_page_token = page(
        users, lambda user: user.email, request.page_size, request.page_token
    )
    return GetUsersResponse(
        users=[user_message(user, principals[user.id], names) for user in shown],
        next_page_token=next_page_token,
    )
