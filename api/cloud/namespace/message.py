"""A namespace as the API tells it."""

from __future__ import annotations

from collections.abc import Mapping

from temporalio.api.cloud.namespace.v1 import Endpoints
from temporalio.api.cloud.namespace.v1 import Namespace as NamespaceMessage
from temporalio.api.cloud.resource.v1 import ResourceState

from api.cloud.fields import timestamp
from api.cloud.namespace.spec import spec_message
from api.cloud.services import Services
from tenancy import Namespace, NamespaceState

STATES = {
    NamespaceState.ACTIVATING: ResourceState.RESOURCE_STATE_ACTIVATING,
    NamespaceState.ACTIVE: ResourceState.RESOURCE_STATE_ACTIVE,
    NamespaceState.DELETING: ResourceState.RESOURCE_STATE_DELETING,
    NamespaceState.DELETED: ResourceState.RESOURCE_STATE_DELETED,
}


def namespace_message(
    services: Services, namespace: Namespace, unfinished: Mapping[str, str]
) -> NamespaceMessage:
    """`unfinished` are the ids of the operations under way, by the namespace's id."""
    operation_id = unfinished.get(namespace.id, "")
    state = STATES[namespace.state]
    if operation_id and namespace.state is NamespaceState.ACTIVE:
        state = ResourceState.RESOURCE_STATE_UPDATING
    name = namespace.ref.full_name
    return NamespaceMessage(
        namespace=name,
        resource_version=str(namespace.resource_version),
        spec=spec_message(namespace),
        state=state,
        async_operation_id=operation_id,
        endpoints=Endpoints(web_address=f"{services.console_address}/namespaces/{name}"),
        active_region=namespace.region,
        created_time=timestamp(namespace.created_at),
        last_modified_time=timestamp(namespace.updated_at),
    )
