"""DescribeNamespace, as workers ask for it before they poll."""

from __future__ import annotations

from temporalio.api.enums.v1 import NamespaceState
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers.handler import WORKFLOW_SERVICE, Handler, anywhere
from engine.limits import MEMO_BYTES_MAX, PAYLOAD_BYTES_MAX


async def handle(
    services: Services, request: DescribeNamespaceRequest, call: Call
) -> DescribeNamespaceResponse:
    namespace = await services.namespaces.get(call.namespace_id)
    settings = namespace.settings
    answer = DescribeNamespaceResponse()
    info = answer.namespace_info
    info.name, info.id = namespace.name, namespace.namespace_id
    info.state = NamespaceState.NAMESPACE_STATE_REGISTERED
    info.description = settings.description
    info.limits.blob_size_limit_error = PAYLOAD_BYTES_MAX
    info.limits.memo_size_limit_error = MEMO_BYTES_MAX
    info.capabilities.eager_workflow_start = True
    answer.config.workflow_execution_retention_ttl.seconds = settings.retention_seconds
    for name in settings.search_attributes:
        answer.config.custom_search_attribute_aliases[name] = name
    return answer


HANDLER = Handler(
    WORKFLOW_SERVICE + "DescribeNamespace", DescribeNamespaceRequest, anywhere, handle
)
