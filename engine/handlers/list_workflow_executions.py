"""ListWorkflowExecutions, and Scan, which is the same."""

from __future__ import annotations

import zlib
from typing import TypeVar

from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    ScanWorkflowExecutionsRequest,
    ScanWorkflowExecutionsResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers.handler import WORKFLOW_SERVICE, Handler, anywhere
from engine.limits import VISIBILITY_PAGE_SIZE_MAX
from engine.tokens import VisibilityPageToken
from engine.visibility import parser
from engine.visibility.listed_run import execution_info
from engine.visibility.query import VisibilityQuery

Response = TypeVar("Response", ListWorkflowExecutionsResponse, ScanWorkflowExecutionsResponse)


async def handle_list(
    services: Services, request: ListWorkflowExecutionsRequest, call: Call
) -> ListWorkflowExecutionsResponse:
    return await _fill(services, request, call, ListWorkflowExecutionsResponse())


async def handle_scan(
    services: Services, request: ScanWorkflowExecutionsRequest, call: Call
) -> ScanWorkflowExecutionsResponse:
    return await _fill(services, request, call, ScanWorkflowExecutionsResponse())


async def _fill(
    services: Services,
    request: ListWorkflowExecutionsRequest | ScanWorkflowExecutionsRequest,
    call: Call,
    answer: Response,
) -> Response:
    if not 0 <= request.page_size <= VISIBILITY_PAGE_SIZE_MAX:
        raise InvalidArgument(f"page_size must be 0 to {VISIBILITY_PAGE_SIZE_MAX}", "page_size")
    namespace = await services.namespaces.get(call.namespace_id)
    search = parser.parse(request.query, namespace.settings.search_attributes)
    if search.group_by:
        raise InvalidArgument("query: GROUP BY belongs to counting; remove it", "query")
    query_hash = zlib.crc32(request.query.encode())
    after = None
    if request.next_page_token:
        token = services.tokens.open(
            VisibilityPageToken, request.next_page_token, "next_page_token", call.namespace_id
        )
        if token.query_hash != query_hash:
            raise InvalidArgument("next_page_token belongs to another query", "next_page_token")
        after = (token.close_at_ns, token.start_at_ns, token.run_id)
    size = request.page_size or VISIBILITY_PAGE_SIZE_MAX
    query = VisibilityQuery(call.namespace_id, search.where, after, size + 1)
    rows = await services.store.list_visibility(query)
    answer.executions.extend(execution_info(row) for row in rows[:size])
    if len(rows) > size:
        token = VisibilityPageToken(call.namespace_id, query_hash, *rows[size - 1].order)
        answer.next_page_token = services.tokens.seal(token)
    return answer


HANDLER = Handler(
    WORKFLOW_SERVICE + "ListWorkflowExecutions",
    ListWorkflowExecutionsRequest,
    anywhere,
    handle_list,
)
SCAN_HANDLER = Handler(
    WORKFLOW_SERVICE + "ScanWorkflowExecutions",
    ScanWorkflowExecutionsRequest,
    anywhere,
    handle_scan,
)
