"""GetSystemInfo."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest, GetSystemInfoResponse

from engine.call import Call
from engine.cell.services import Services
from engine.handlers.handler import WORKFLOW_SERVICE, Handler, anywhere

SERVER_VERSION = "1.32.0-perdure"


async def handle(
    services: Services, request: GetSystemInfoRequest, call: Call
) -> GetSystemInfoResponse:
    answer = GetSystemInfoResponse(server_version=SERVER_VERSION)
    offered = answer.capabilities
    offered.signal_and_query_header = True
    offered.internal_error_differentiation = True
    offered.activity_failure_include_heartbeat = True
    offered.encoded_failure_attributes = True
    offered.build_id_based_versioning = True
    offered.upsert_memo = True
    offered.eager_workflow_start = True
    offered.sdk_metadata = True
    offered.count_group_by_execution_status = True
    return answer


HANDLER = Handler(
    WORKFLOW_SERVICE + "GetSystemInfo",
    GetSystemInfoRequest,
    anywhere,
    handle,
    in_namespace=False,
)
