"""CreateNamespace."""

from __future__ import annotations

from temporalio.api.cloud.cloudservice.v1 import CreateNamespaceRequest, CreateNamespaceResponse
from temporalio.api.cloud.namespace.v1 import NamespaceSpec

from api.cloud.fields import not_offered
from api.cloud.namespace.spec import region_of, settings_of
from api.cloud.operation.message import operation_message
from api.cloud.services import Services
from tenancy import Principal
from tenancy.namespace_settings import RETENTION_DAYS_DEFAULT


async def create_namespace(
    services: Services, request: CreateNamespaceRequest, caller: Principal
) -> CreateNamespaceResponse:
    """The full name is `<spec.name>.<account id>`, also while the operation is under way."""
    if request.tags:
        raise not_offered("tags")
    spec = NamespaceSpec()
    spec.CopyFrom(request.spec)
    spec.retention_days = spec.retention_days or RETENTION_DAYS_DEFAULT
    async with services.control.acting(caller) as session:
        operation = await services.control.namespaces.create(
            session,
            caller,
            spec.name,
            settings_of(spec),
            region=region_of(spec),
            operation_id=request.async_operation_id or None,
        )
    services.provision()
    return CreateNamespaceResponse(
        namespace=f"{spec.name}.{caller.account_id}",
        async_operation=operation_message(operation),
    )
