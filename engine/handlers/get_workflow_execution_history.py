"""GetWorkflowExecutionHistory."""

from __future__ import annotations

from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
)

from engine.call import Call
from engine.cell.loaded_run import LoadedRun
from engine.cell.services import Services
from engine.cell.shard import Shard
from engine.errors import InvalidArgument
from engine.handlers import polling, routing
from engine.handlers.handler import WORKFLOW_SERVICE, Handler
from engine.history import workflow_task
from engine.history.protobuf import event_size_prefixed, length_prefixed, message_tag
from engine.limits import (
    HISTORY_PAGE_BYTES_MAX,
    HISTORY_PAGE_EVENT_COUNT_MAX,
    HISTORY_POLL_SECONDS_MAX,
)
from engine.tokens import HistoryPageToken

CLOSE_EVENT = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
HISTORY_TAG = message_tag(GetWorkflowExecutionHistoryResponse, "history")


async def handle(
    services: Services, request: GetWorkflowExecutionHistoryRequest, call: Call
) -> bytes:
    execution = request.execution
    if request.maximum_page_size < 0:
        raise InvalidArgument("maximum_page_size must not be negative", "maximum_page_size")
    run_id, first = execution.run_id, 1
    if request.next_page_token:
        token = page_token(services, request.next_page_token, call, execution.workflow_id)
        if run_id and run_id != token.run_id:
            raise InvalidArgument("next_page_token belongs to another run", "next_page_token")
        run_id, first = token.run_id, token.next_event_id
    shard, run = await services.run(call.namespace_id, execution.workflow_id, run_id)
    only_close = request.history_event_filter_type == CLOSE_EVENT
    if request.wait_new_event:
        await _wait(services, shard, run, call, first, only_close=only_close)
    last, is_open = run.state.run.next_event_id - 1, run.state.is_open
    virtual = b"".join(map(event_size_prefixed, workflow_task.virtual_events(run.state)))
    await shard.durable(run)
    if only_close:
        waits = is_open and request.wait_new_event
        history = b"" if waits else (await _read(services, run, last, last))[0]
        return _answer(services, run, history, last if waits else 0)
    count = request.maximum_page_size or HISTORY_PAGE_EVENT_COUNT_MAX
    wanted = min(last, first + min(count, HISTORY_PAGE_EVENT_COUNT_MAX) - 1)
    history, reached = await _read(services, run, first, wanted)
    if reached < last:
        return _answer(services, run, history, reached + 1)
    goes_on = is_open and request.wait_new_event
    shown = b"" if goes_on else virtual
    return _answer(services, run, history + shown, last + 1 if goes_on else 0)


async def _wait(
    services: Services,
    shard: Shard,
    run: LoadedRun,
    call: Call,
    first: int,
    *,
    only_close: bool,
) -> None:
    """Until there is something to say: an event at `first`, or the close."""
    seconds = polling.seconds(services, call, HISTORY_POLL_SECONDS_MAX)
    deadline = services.env.monotonic() + seconds
    while run.state.is_open and (only_close or run.state.run.next_event_id <= first):
        left = deadline - services.env.monotonic()
        if left <= 0:
            return
        await shard.changed(run, left, until_closed=only_close)
        shard.check_owned()


async def _read(services: Services, run: LoadedRun, first: int, last: int) -> tuple[bytes, int]:
    return await services.history.page(run, first, last, HISTORY_PAGE_BYTES_MAX)


def _answer(services: Services, run: LoadedRun, history: bytes, next_event_id: int) -> bytes:
    """The response's bytes; `next_event_id` 0 means that nothing follows."""
    answer = GetWorkflowExecutionHistoryResponse()
    if next_event_id:
        answer.next_page_token = services.tokens.seal(HistoryPageToken(*run.key, next_event_id))
    return answer.SerializeToString() + length_prefixed(HISTORY_TAG, history)


def page_token(services: Services, sealed: bytes, call: Call, workflow_id: str) -> HistoryPageToken:
    """The page token of a request. Raises InvalidArgument where it is for something else."""
    token = services.tokens.open(HistoryPageToken, sealed, "next_page_token", call.namespace_id)
    if token.workflow_id != workflow_id:
        raise InvalidArgument("next_page_token belongs to another workflow", "next_page_token")
    return token


HANDLER = Handler(
    WORKFLOW_SERVICE + "GetWorkflowExecutionHistory",
    GetWorkflowExecutionHistoryRequest,
    routing.by_execution("execution"),
    handle,
)
