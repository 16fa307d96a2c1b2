"""GetNamespace."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import GetNamespaceRequest, GetNamespaceResponse

from api.cloud.namespace.message import namespace_message
from api.cloud.services import Services
from tenancy import Principal


async def get_namespace(
    services: Services, request: GetNamespaceRequest, caller: Principal
) -> GetNamespaceResponse:
    control = services.control
    async with services.database.reading() as session:
        namespace = await control.namespaces.find(session, caller, request.namespace)
        unfinished = await control.operations.unfinished_in(session, caller.account_id)
    return GetNamespaceResponse(namespace=namespace_message(services, namespace, unfinished))
