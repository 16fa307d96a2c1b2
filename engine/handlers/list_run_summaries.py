"""ListRunSummaries."""

from __future__ import annotations

from engine.call import Call
from engine.cell.services import Services
from engine.errors import InvalidArgument
from engine.handlers.handler import TASK_SERVICE, Handler, anywhere
from engine.limits import VISIBILITY_PAGE_SIZE_MAX
from engine.metering.summary import decode_summary
from engine.protocol.tasks_pb2 import ListRunSummariesRequest, ListRunSummariesResponse
from engine.tokens import SummaryPageToken


async def handle(
    services: Services, request: ListRunSummariesRequest, call: Call
) -> ListRunSummariesResponse:
    if not 0 <= request.page_size <= VISIBILITY_PAGE_SIZE_MAX:
        raise InvalidArgument(f"page_size must be 0 to {VISIBILITY_PAGE_SIZE_MAX}", "page_size")
    after = ""
    if request.next_page_token:
        after = services.tokens.open(
            SummaryPageToken, request.next_page_token, "next_page_token", call.namespace_id
        ).run_id
    size = request.page_size or VISIBILITY_PAGE_SIZE_MAX
    rows = await services.store.read_summaries(call.namespace_id, after, size + 1)
    answer = ListRunSummariesResponse()
    for key, row in rows[:size]:
        summary = decode_summary(row)
        shown = answer.summaries.add(
            workflow_type=summary.workflow_type, task_queue=summary.task_queue
        )
        shown.execution.workflow_id, shown.execution.run_id = key.workflow_id, key.run_id
        for kind, hour, count in summary.counts():
            shown.counters.add(kind=kind, hour=hour, count=count)
    if len(rows) > size:
        token = SummaryPageToken(call.namespace_id, rows[size - 1][0].run_id)
        answer.next_page_token = services.tokens.seal(token)
    return answer


HANDLER = Handler(TASK_SERVICE + "ListRunSummaries", ListRunSummariesRequest, anywhere, handle)
