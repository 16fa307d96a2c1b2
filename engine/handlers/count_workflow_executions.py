"""CountWorkflowExecutions."""

from __future__ import annotations

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
)

from engine.call import Call
from engine.cell.services import Services
from engine.handlers.handler import WORKFLOW_SERVICE, Handler, anywhere
from engine.visibility import parser
from engine.visibility.query import VisibilityQuery


async def handle(
    services: Services, request: CountWorkflowExecutionsRequest, call: Call
) -> CountWorkflowExecutionsResponse:
    namespace = await services.namespaces.get(call.namespace_id)
    search = parser.parse(request.query, namespace.settings.search_attributes)
    query = VisibilityQuery(call.namespace_id, search.where, group_by=search.group_by or None)
    counts = await services.store.count_visibility(query)
    answer = CountWorkflowExecutionsResponse(count=sum(count for _, count in counts))
    if search.group_by:
        for value, count in counts:
            group = answer.groups.add(count=count)
            group.group_values.append(_status(int(value)))
    return answer


def _status(number: int) -> Payload:
    """The status as filters write it, `Running` or `TimedOut`."""
    name = WorkflowExecutionStatus.Name(number)  # type: ignore[arg-type]
    words = name.removeprefix("WORKFLOW_EXECUTION_STATUS_").split("_")
    text = "".join(word.capitalize() for word in words)
    return Payload(
        metadata={"encoding": b"json/plain", "type": b"Keyword"}, data=msgspec.json.encode(text)
    )


HANDLER = Handler(
    WORKFLOW_SERVICE + "CountWorkflowExecutions", CountWorkflowExecutionsRequest, anywhere, handle
)
