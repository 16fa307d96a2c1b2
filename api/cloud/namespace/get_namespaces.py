"""GetNamespaces."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetNamespacesRequest, GetNamespacesResponse

from api.cloud.fields import page
from api.cloud.namespace.message import namespace_message
from api.cloud.services import Services
from tenancy import Principal


async def get_namespaces(
    services: Services, request: GetNamespacesRequest, caller: Principal
) -> GetNamespacesResponse:
    """By name. `name` selects the one that has it, in its short or its full form."""
    control = services.control
    async with services.database.reading() as session:
        namespaces = await control.namespaces.visible_to(session, caller)
        unfinished = await control.operations.unfinished_in(session, caller.account_id)
    if request.name:
        namespaces = [it for it in namespaces if request.name in (it.name, it.ref.full_name)]
    shown, next_page_token = page(
        services, caller, request, namespaces, lambda namespace: namespace.name
    )
    return GetNamespacesResponse(
        namespaces=[namespace_message(services, each, unfinished) for each in shown],
        next_page_token=next_page_token,
    )
