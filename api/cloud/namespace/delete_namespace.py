"""DeleteNamespace."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import DeleteNamespaceRequest, DeleteNamespaceResponse

from api.cloud.fields import resource_version_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from tenancy import NamespaceState, NotFound, Principal


async def delete_namespace(
    services: Services, request: DeleteNamespaceRequest, caller: Principal
) -> DeleteNamespaceResponse:
    """A repeated request finds its operation also when the namespace is already gone."""
    namespaces = services.control.namespaces
    async with services.control.acting(caller) as session:
        namespace = await namespaces.last_named(session, caller, request.namespace)
        if namespace.state is NamespaceState.DELETED and not request.async_operation_id:
            raise NotFound("namespace", request.namespace)
        operation = await namespaces.delete(
            session,
            caller,
            namespace.id,
            resource_version=resource_version_of(request.resource_version),
            operation_id=request.async_operation_id or None,
        )
    services.provision()
    return DeleteNamespaceResponse(async_operation=operation_message(operation))
