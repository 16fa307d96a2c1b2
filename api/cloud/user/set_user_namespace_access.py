"""SetUserNamespaceAccess."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import (
    SetUserNamespaceAccessRequest,
    SetUserNamespaceAccessResponse,
)

from api.cloud.fields import resource_version_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from api.cloud.user.message import permission_of
from tenancy import Principal


async def set_user_namespace_access(
    services: Services, request: SetUserNamespaceAccessRequest, caller: Principal
) -> SetUserNamespaceAccessResponse:
    """Gives a member one permission in a namespace; without one, takes it away."""
    control = services.control
    async with control.acting(caller) as session:
        namespace = await control.namespaces.find(session, caller, request.namespace)
        operation = await control.members.set_namespace_access(
            session,
            caller,
            request.user_id,
            namespace,
            permission_of(request.access, "access"),
            resource_version=resource_version_of(request.resource_version),
            operation_id=request.async_operation_id or None,
        )
    return SetUserNamespaceAccessResponse(async_operation=operation_message(operation))
