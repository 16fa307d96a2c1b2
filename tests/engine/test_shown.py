"""What clients are shown: descriptions of runs and queues, lists in pages, memo and attributes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import temporalio.api.operatorservice.v1 as o
import temporalio.api.workflowservice.v1 as w
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import Memo, Payload, SearchAttributes
from temporalio.api.enums.v1 import (
    IndexedValueType,
    PendingActivityState,
    PendingWorkflowTaskState,
    TaskQueueType,
    WorkflowExecutionStatus,
)

from engine.errors import AlreadyExists, InvalidArgument, NotFound
from engine.handlers.handler import OPERATOR_SERVICE, TASK_SERVICE
from engine.protocol.tasks_pb2 import (
    ListRunSummariesRequest,
    ListRunSummariesResponse,
    ListTaskQueuesRequest,
    ListTaskQueuesResponse,
)
from engine.visibility.search_attributes import TYPES_BY_NAME
from tests.engine.cell import (
    NAMESPACE_ID,
    QUEUE,
    Cell,
    cancel_activity,
    complete_workflow,
    in_cell,
    schedule_activity,
    soon,
    text,
    upsert_memo,
)

STATE = PendingActivityState
TASK_STATE = PendingWorkflowTaskState


def json_payload(data: str) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=data.encode())


@in_cell
async def test_a_description_says_how_the_run_was_started(cell: Cell) -> None:
    run_id = await cell.start(
        workflow_execution_timeout=Duration(seconds=900),
        workflow_run_timeout=Duration(seconds=300),
        workflow_task_timeout=Duration(seconds=7),
        memo=Memo(fields={"note": text("fragile").payloads[0]}),
    )
    answer = await cell.describe()
    info, config = answer.workflow_execution_info, answer.execution_config
    assert (info.execution.workflow_id, info.execution.run_id) == ("order-1", run_id)
    assert (info.type.name, info.task_queue, info.first_run_id) == ("Order", QUEUE, run_id)
    assert info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
    assert info.memo.fields["note"].data == b'"fragile"'
    assert (info.history_length, info.HasField("close_time")) == (2, False)
    assert config.task_queue.name == QUEUE
    assert config.workflow_execution_timeout.seconds == 900
    assert config.workflow_run_timeout.seconds == 300
    assert config.default_workflow_task_timeout.seconds == 7
    started_at = info.start_time.ToDatetime()
    extended = answer.workflow_extended_info
    assert extended.run_expiration_time.ToDatetime() - started_at == timedelta(seconds=300)
    assert extended.execution_expiration_time.ToDatetime() - started_at == timedelta(seconds=900)


@in_cell
async def test_a_description_says_how_the_run_ended(cell: Cell) -> None:
    await cell.start()
    await cell.request_cancel()
    assert (await cell.describe()).workflow_extended_info.cancel_requested
    await cell.step(complete_workflow())
    answer = await cell.describe()
    info = answer.workflow_execution_info
    assert info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
    assert info.close_time.ToDatetime() >= info.start_time.ToDatetime()
    assert info.history_length == len(await cell.events())
    assert not answer.HasField("pending_workflow_task")
    assert not answer.pending_activities


@in_cell
async def test_a_description_follows_the_pending_workflow_task(cell: Cell) -> None:
    await cell.start()
    waiting = (await cell.describe()).pending_workflow_task
    assert waiting.state == TASK_STATE.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
    await cell.fail_workflow_task(await cell.poll())
    task = await cell.poll()
    taken = (await cell.describe()).pending_workflow_task
    assert taken.state == TASK_STATE.PENDING_WORKFLOW_TASK_STATE_STARTED
    assert (taken.attempt, taken.started_time) == (2, task.started_time)


@in_cell
async def test_a_description_follows_a_pending_activity(cell: Cell) -> None:
    async def shown() -> Any:
        (pending,) = (await cell.describe()).pending_activities
        return pending

    await cell.start()
    await cell.step(schedule_activity("charge", maximum_attempts=3))
    pending = await shown()
    assert (pending.activity_id, pending.activity_type.name) == ("charge", "Charge")
    assert (pending.state, pending.attempt) == (STATE.PENDING_ACTIVITY_STATE_SCHEDULED, 1)
    assert pending.maximum_attempts == 3
    task = await cell.poll_activity()
    beat = w.RecordActivityTaskHeartbeatRequest(task_token=task.task_token, details=text("half"))
    await cell.ask(beat)
    pending = await shown()
    assert pending.state == STATE.PENDING_ACTIVITY_STATE_STARTED
    assert (pending.last_worker_identity, pending.heartbeat_details) == ("worker", text("half"))
    assert pending.HasField("last_started_time")
    assert pending.HasField("last_heartbeat_time")
    await cell.fail_activity(task)
    pending = await shown()
    assert (pending.state, pending.attempt) == (STATE.PENDING_ACTIVITY_STATE_SCHEDULED, 2)
    assert pending.last_failure.message == "out of stock"
    assert pending.current_retry_interval.seconds == 1
    assert pending.next_attempt_schedule_time.ToDatetime() == (
        pending.last_attempt_complete_time.ToDatetime() + timedelta(seconds=1)
    )
    await cell.poll_activity()
    await cell.signal("stop")
    await cell.step(cancel_activity(5))
    assert (await shown()).state == STATE.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED


@in_cell
async def test_task_queues_are_listed_in_pages(cell: Cell) -> None:
    for name in ("c", "a", "b"):
        await cell.start(f"order-{name}", task_queue={"name": name})
    polled = await soon(cell.poll_activity("b"))
    request = ListTaskQueuesRequest(page_size=2)
    method = TASK_SERVICE + "ListTaskQueues"
    first = await cell.rpc(method, request, ListTaskQueuesResponse)
    request.next_page_token = first.next_page_token
    second = await cell.rpc(method, request, ListTaskQueuesResponse)
    workflow, activity = (
        TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    shown = [(queue.name, queue.type) for queue in [*first.task_queues, *second.task_queues]]
    assert shown == [("a", workflow), ("b", workflow), ("b", activity), ("c", workflow)]
    assert (len(first.task_queues), second.next_page_token) == (2, b"")
    counts = [queue.poller_count for queue in [*first.task_queues, *second.task_queues]]
    assert counts == [0, 0, 1, 0]
    assert first.task_queues[0].backlog_count_hint == 1
    polled.cancel()


@in_cell
async def test_run_summaries_are_listed_in_pages(cell: Cell) -> None:
    started = {await cell.start(f"order-{number}") for number in range(5)}
    for _ in range(5):
        await cell.step(complete_workflow())
    seen: list[str] = []
    request = ListRunSummariesRequest(page_size=2)
    sizes = []
    while True:
        page = await cell.rpc(TASK_SERVICE + "ListRunSummaries", request, ListRunSummariesResponse)
        sizes.append(len(page.summaries))
        seen += [summary.execution.run_id for summary in page.summaries]
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert (sizes, set(seen)) == ([2, 2, 1], started)
    assert {page.summaries[0].workflow_type, page.summaries[0].task_queue} == {"Order", QUEUE}


@in_cell
async def test_workflows_are_listed_in_pages_newest_first(cell: Cell) -> None:
    for number in range(5):
        await cell.start(f"order-{number}")
    request = w.ListWorkflowExecutionsRequest(page_size=2, query="WorkflowType = 'Order'")
    pages = []
    while True:
        page = await cell.ask(request)
        pages.append([info.execution.workflow_id for info in page.executions])
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
        other = w.ListWorkflowExecutionsRequest(next_page_token=page.next_page_token)
        with pytest.raises(InvalidArgument, match="next_page_token belongs to another query"):
            await cell.ask(other)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(workflow_id for page in pages for workflow_id in page) == [
        f"order-{number}" for number in range(5)
    ]


@in_cell
async def test_a_page_token_is_good_for_its_namespace_and_its_list_alone(cell: Cell) -> None:
    await cell.put_namespace("other")
    for number in range(3):
        await cell.start(f"order-{number}")
    token = (await cell.ask(w.ListWorkflowExecutionsRequest(page_size=1))).next_page_token
    with pytest.raises(InvalidArgument, match="next_page_token is not a token of this namespace"):
        await cell.ask(w.ListWorkflowExecutionsRequest(next_page_token=token), "other")
    request = ListTaskQueuesRequest(next_page_token=token)
    with pytest.raises(InvalidArgument, match="next_page_token is not a token"):
        await cell.rpc(TASK_SERVICE + "ListTaskQueues", request, ListTaskQueuesResponse)


@in_cell
async def test_a_workflow_changes_its_memo_key_by_key(cell: Cell) -> None:
    memo = Memo(fields={key: text(key).payloads[0] for key in ("kept", "changed", "removed")})
    await cell.start(memo=memo)
    await cell.step(upsert_memo(changed="new", removed="", added="too"))
    await cell.crash_and_restart()
    described = (await cell.describe()).workflow_execution_info.memo.fields
    (listed,) = (await cell.ask(w.ListWorkflowExecutionsRequest())).executions
    for fields in (described, listed.memo.fields):
        shown = {key: fields[key].data for key in fields}
        assert shown == {"kept": b'"kept"', "changed": b'"new"', "added": b'"too"'}


VALUES = {
    "Text": ('"brown fox"', "7"),
    "Keyword": ('"ada"', "7"),
    "Int": ("7", "7.5"),
    "Double": ("7.5", '"7.5"'),
    "Bool": ("true", "1"),
    "Datetime": ('"2026-01-31T13:00:00Z"', '"yesterday"'),
    "KeywordList": ('["a","b"]', "[1]"),
}


@pytest.mark.parametrize("type_name", VALUES)
@in_cell
async def test_a_search_attribute_takes_values_of_its_type_alone(
    cell: Cell, type_name: str
) -> None:
    right, wrong = VALUES[type_name]
    added = o.AddSearchAttributesRequest(search_attributes={"Custom": TYPES_BY_NAME[type_name]})
    await cell.rpc(OPERATOR_SERVICE + "AddSearchAttributes", added, o.AddSearchAttributesResponse)
    await cell.start(
        search_attributes=SearchAttributes(indexed_fields={"Custom": json_payload(right)})
    )
    info = (await cell.describe()).workflow_execution_info
    shown = info.search_attributes.indexed_fields["Custom"]
    assert (shown.data, shown.metadata["type"]) == (right.encode(), type_name.encode())
    given = SearchAttributes(indexed_fields={"Custom": json_payload(wrong)})
    message = rf"search_attributes\['Custom'\] must be of type {type_name}"
    with pytest.raises(InvalidArgument, match=message):
        await cell.start("order-2", search_attributes=given)


@in_cell
async def test_search_attributes_are_added_listed_and_removed(cell: Cell) -> None:
    async def call(name: str, request: Any) -> Any:
        return await cell.rpc(OPERATOR_SERVICE + name, request, getattr(o, f"{name}Response"))

    await cell.start()
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    integer = IndexedValueType.INDEXED_VALUE_TYPE_INT
    add = o.AddSearchAttributesRequest
    await call("AddSearchAttributes", add(search_attributes={"Customer": keyword}))
    await call("AddSearchAttributes", add(search_attributes={"Customer": keyword}))
    with pytest.raises(AlreadyExists, match="exists with type Keyword"):
        await call("AddSearchAttributes", add(search_attributes={"Customer": integer}))
    with pytest.raises(InvalidArgument, match=r"'WorkflowId'\] is reserved; choose another name"):
        await call("AddSearchAttributes", add(search_attributes={"WorkflowId": keyword}))
    await cell.put_namespace(NAMESPACE_ID)
    await cell.crash_and_restart()
    listed = await call("ListSearchAttributes", o.ListSearchAttributesRequest())
    assert dict(listed.custom_attributes) == {"Customer": keyword}
    assert listed.system_attributes["WorkflowId"] == keyword
    remove = o.RemoveSearchAttributesRequest(search_attributes=["Customer"])
    await call("RemoveSearchAttributes", remove)
    with pytest.raises(NotFound, match="search attribute Customer does not exist"):
        await call("RemoveSearchAttributes", remove)
