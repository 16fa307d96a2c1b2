"""GetUsers."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetUsersRequest, GetUsersResponse

from api.cloud.fields import page
from api.cloud.services import Services
from api.cloud.user.message import user_message
from tenancy import Principal
from tenancy.members import all_grants


async def get_users(
    services: Services, request: GetUsersRequest, caller: Principal
) -> GetUsersResponse:
    """By e-mail, with those who are invited. `namespace` selects whom access to it was given."""
    control = services.control
    async with services.database.reading() as session:
        members = await control.members.visible_to(session, caller)
        grants = await all_grants(session, members)
        names = await control.namespaces.names(session, caller)
        if request.namespace:
            namespace = await control.namespaces.find(session, caller, request.namespace)
            members = [each for each in members if namespace.id in grants[each.id]]
    if request.email:
        members = [each for each in members if each.email == request.email.lower()]
    shown, next_page_token = page(services, caller, request, members, lambda member: member.email)
    return GetUsersResponse(
        users=[user_message(each, grants[each.id], names) for each in shown],
        next_page_token=next_page_token,
    )
