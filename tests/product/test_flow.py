"""One business process from start to result over the paths of the HTTP door, in both forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import temporalio.api.workflowservice.v1 as w
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import EventType, QueryResultType, WorkflowExecutionStatus
from temporalio.api.query.v1 import WorkflowQueryResult

from tests.engine.cell import (
    cancel_workflow,
    complete_workflow,
    names,
    schedule_activity,
    start_timer,
    text,
)
from tests.product.client import JSON, PROTOBUF, Access, Program, Refused, program
from tests.product.server import Product

Status = WorkflowExecutionStatus


@pytest.fixture(params=[PROTOBUF, JSON], ids=["protobuf", "json"])
async def shop(
    request: pytest.FixtureRequest, shared: Product, access: Access
) -> AsyncIterator[Program]:
    shop = program(shared, access, request.param)
    async with shop.http:
        yield shop


def order_id(request: pytest.FixtureRequest) -> str:
    """A workflow id of this test's own, with signs that a path has to escape."""
    return f"{request.node.name}/ä 1"


def path_of(workflow_id: str, verb: str = "") -> str:
    return f"/workflows/{quote(workflow_id, safe='')}{verb}"


async def start(shop: Program, workflow_id: str, **fields: Any) -> str:
    request = w.StartWorkflowExecutionRequest(input=text("two books"), **fields)
    request.workflow_type.name, request.task_queue.name = "Order", workflow_id
    answer = await shop.post_below(path_of(workflow_id), request)
    assert answer.started
    run_id: str = answer.run_id
    return run_id


async def poll(shop: Program, queue: str) -> Any:
    request = w.PollWorkflowTaskQueueRequest(identity="worker")
    task = await shop.post_below(
        f"/task-queues/{quote(queue, safe='')}/poll-workflow-task", request
    )
    assert task.task_token
    return task


async def poll_activity(shop: Program, queue: str) -> Any:
    request = w.PollActivityTaskQueueRequest(identity="worker")
    task = await shop.post_below(
        f"/task-queues/{quote(queue, safe='')}/poll-activity-task", request
    )
    assert task.task_token
    return task


async def complete(shop: Program, task: Any, *commands: Command) -> None:
    request = w.RespondWorkflowTaskCompletedRequest(task_token=task.task_token, commands=commands)
    await shop.post_below("/workflow-task-complete", request)


async def describe(shop: Program, workflow_id: str) -> Any:
    path = path_of(workflow_id)
    answer = await shop.get(path, w.DescribeWorkflowExecutionRequest)
    return answer.workflow_execution_info


def of_queue(command: Command, queue: str) -> Command:
    command.schedule_activity_task_command_attributes.task_queue.name = queue
    return command


async def test_an_order_runs_from_start_to_result(
    shop: Program, request: pytest.FixtureRequest
) -> None:
    order = order_id(request)
    run_id = await start(shop, order)
    task = await poll(shop, order)
    assert task.workflow_execution.run_id == run_id
    started = task.history.events[0].workflow_execution_started_event_attributes
    assert started.input == text("two books")
    timer = start_timer("cool", timedelta(milliseconds=1))
    await complete(shop, task, of_queue(schedule_activity(), order), timer)

    activity = await poll_activity(shop, order)
    beat = w.RecordActivityTaskHeartbeatRequest(task_token=activity.task_token)
    assert not (await shop.post_below("/activity-heartbeat", beat)).cancel_requested
    done = w.RespondActivityTaskCompletedRequest(
        task_token=activity.task_token, result=text("charged")
    )
    await shop.post_below("/activity-complete", done)
    signal = w.SignalWorkflowExecutionRequest(input=text("gift"))
    await shop.post_below(path_of(order, "/signal/wrap"), signal)

    seen: set[EventType.ValueType] = set()
    awaited = {
        EventType.EVENT_TYPE_TIMER_FIRED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    }
    while not awaited <= seen:
        task = await poll(shop, order)
        seen |= {event.event_type for event in task.history.events}
        await complete(shop, task, *([complete_workflow()] if awaited <= seen else []))

    closed = await shop.close_event(order, run_id)
    attributes = closed.workflow_execution_completed_event_attributes
    assert attributes.result == text("shipped")
    info = await describe(shop, order)
    assert info.status == Status.WORKFLOW_EXECUTION_STATUS_COMPLETED
    events = await shop.history(order, run_id)
    assert info.history_length == len(events)
    assert names(events)[-1] == "WorkflowExecutionCompleted"
    backwards = await shop.get(
        path_of(order, "/history-reverse"), w.GetWorkflowExecutionHistoryReverseRequest
    )
    assert list(backwards.history.events) == events[::-1]


async def test_a_query_is_answered_by_the_worker(
    shop: Program, request: pytest.FixtureRequest
) -> None:
    order = order_id(request)
    await start(shop, order)
    await complete(shop, await poll(shop, order))
    asking = asyncio.create_task(
        shop.post_below(path_of(order, "/query/state"), w.QueryWorkflowRequest())
    )
    task = await poll(shop, order)
    if task.HasField("query"):
        assert task.query.query_type == "state"
        told = w.RespondQueryTaskCompletedRequest(
            task_token=task.task_token,
            completed_type=QueryResultType.QUERY_RESULT_TYPE_ANSWERED,
            query_result=text("packed"),
        )
        await shop.post_below("/query-task-complete", told)
    else:
        result = WorkflowQueryResult(
            result_type=QueryResultType.QUERY_RESULT_TYPE_ANSWERED, answer=text("packed")
        )
        answered = w.RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token, query_results=dict.fromkeys(task.queries, result)
        )
        await shop.post_below("/workflow-task-complete", answered)
    assert (await asking).query_result == text("packed")


async def test_a_cancelled_order_says_so_to_its_worker(
    shop: Program, request: pytest.FixtureRequest
) -> None:
    order = order_id(request)
    run_id = await start(shop, order)
    cancel = w.RequestCancelWorkflowExecutionRequest(reason="changed my mind")
    await shop.post_below(path_of(order, "/cancel"), cancel)
    task = await poll(shop, order)
    assert "WorkflowExecutionCancelRequested" in names(list(task.history.events))
    await complete(shop, task, cancel_workflow())
    assert names([await shop.close_event(order, run_id)]) == ["WorkflowExecutionCanceled"]


async def test_a_terminated_order_is_over_at_once_and_its_task_is_gone(
    shop: Program, request: pytest.FixtureRequest
) -> None:
    order = order_id(request)
    await start(shop, order)
    task = await poll(shop, order)
    terminate = w.TerminateWorkflowExecutionRequest(reason="fraud")
    await shop.post_below(path_of(order, "/terminate"), terminate)
    info = await describe(shop, order)
    assert info.status == Status.WORKFLOW_EXECUTION_STATUS_TERMINATED
    with pytest.raises(Refused, match="404"):
        await complete(shop, task, complete_workflow())
    with pytest.raises(Refused, match="404"):
        await shop.post_below(
            path_of(order, "/signal/wrap"), w.SignalWorkflowExecutionRequest(input=text("gift"))
        )


async def test_lists_and_counts_find_what_was_just_started(
    shop: Program, request: pytest.FixtureRequest
) -> None:
    order = order_id(request)
    ids = {f"{order}-{number}" for number in range(3)}
    for workflow_id in ids:
        await start(shop, workflow_id)
    query = f"WorkflowId STARTS_WITH '{order}' AND ExecutionStatus = 'Running'"
    count = await shop.get("/workflow-count", w.CountWorkflowExecutionsRequest, query=query)
    assert count.count == len(ids)
    found: set[str] = set()
    request_of_page = w.ListWorkflowExecutionsRequest(page_size=2, query=query)
    page = await shop.ask(request_of_page)
    while page.next_page_token:
        found |= {info.execution.workflow_id for info in page.executions}
        request_of_page.next_page_token = page.next_page_token
        page = await shop.ask(request_of_page)
    found |= {info.execution.workflow_id for info in page.executions}
    assert found == ids
