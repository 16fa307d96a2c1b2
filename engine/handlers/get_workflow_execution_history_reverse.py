"""GetWorkflowExecutionHistoryReverse."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers import routing
from engine.handlers.get_workflow_execution_history import page_token
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history.protobuf import parse_events
from engine.limits import HISTORY_PAGE_BYTES_MAX, HISTORY_PAGE_EVENT_COUNT_MAX
from engine.tokens import HistoryPageToken


async def handle(
    services: Services, request: GetWorkflowExecutionHistoryReverseRequest, call: Call
) -> GetWorkflowExecutionHistoryReverseResponse:
    execution = request.execution
    if request.maximum_page_size < 0:
        raise InvalidArgument("maximum_page_size must not be negative", "maximum_page_size")
    run_id, last = execution.run_id, 0
    if request.next_page_token:
        token = page_token(services, request.next_page_token, call, execution.workflow_id)
        run_id, last = token.run_id, token.next_event_id
    shard, run = await services.run(call.namespace_id, execution.workflow_id, run_id)
    last = last or run.state.run.next_event_id - 1
    await shard.durable(run)
    count = request.maximum_page_size or HISTORY_PAGE_EVENT_COUNT_MAX
    first = max(1, last - min(count, HISTORY_PAGE_EVENT_COUNT_MAX) + 1)
    blobs, reached = [], first - 1
    while reached < last:
        blob, reached = await services.history.page(run, reached + 1, last, HISTORY_PAGE_BYTES_MAX)
        blobs.append(blob)
    answer = GetWorkflowExecutionHistoryReverseResponse()
    answer.history.events.extend(reversed(parse_events(blobs)))
    if first > 1:
        answer.next_page_token = services.tokens.seal(HistoryPageToken(*run.key, first - 1))
    return answer


HANDLER = Handler(
    WORKFLOW_SERVICE + "GetWorkflowExecutionHistoryReverse",
    GetWorkflowExecutionHistoryReverseRequest,
    routing.by_execution("execution"),
    handle,
)
