"""UpdateNamespace."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import UpdateNamespaceRequest, UpdateNamespaceResponse

from api.cloud.fields import resource_version_of
from api.cloud.namespace.spec import region_of, settings_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from tenancy import InvalidField, Principal


async def update_namespace(
    services: Services, request: UpdateNamespaceRequest, caller: Principal
) -> UpdateNamespaceResponse:
    """Replaces the whole spec; the name stays."""
    namespaces = services.control.namespaces
    async with services.control.acting(caller) as session:
        namespace = await namespaces.find(session, caller, request.namespace)
        if request.spec.name not in ("", namespace.name):
            raise InvalidField(
                "spec.name", "never changes", f"send {namespace.name!r} or leave it out"
            )
        if region_of(request.spec) not in (None, namespace.region):
            raise InvalidField(
                "spec.regions", "never changes", f"send {namespace.region!r} or leave it out"
            )
        operation = await namespaces.update(
            session,
            caller,
            namespace.id,
            settings_of(request.spec),
            resource_version=resource_version_of(request.resource_version),
            operation_id=request.async_operation_id or None,
        )
    services.provision()
    return UpdateNamespaceResponse(async_operation=operation_message(operation))
