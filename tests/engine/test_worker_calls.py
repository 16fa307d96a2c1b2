"""What workers rely on: sticky queues, retries of workflow tasks, queries, pages."""

from __future__ import annotations

from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import QueryResultType

from engine.errors import FailedPrecondition, NotFound, QueryFailed, WorkflowNotReady
from engine.handlers.handler import TASK_SERVICE
from engine.protocol.tasks_pb2 import (
    CompleteTasksRequest,
    CompleteTasksResponse,
    PollTasksRequest,
    PollTasksResponse,
    TaskCompletionResult,
)
from tests.engine.cell import (
    QUEUE,
    Cell,
    complete_workflow,
    in_cell,
    names,
    record_marker,
    schedule_activity,
    soon,
    text,
)

STICKY = "worker-1-sticky"
ANSWERED = QueryResultType.QUERY_RESULT_TYPE_ANSWERED
FAILED = QueryResultType.QUERY_RESULT_TYPE_FAILED


def sticky() -> Any:
    """The attributes by which a worker asks for its next tasks on its own queue."""
    request = w.RespondWorkflowTaskCompletedRequest()
    request.sticky_attributes.worker_task_queue.name = STICKY
    request.sticky_attributes.schedule_to_start_timeout.FromSeconds(10)
    return request.sticky_attributes


@in_cell
async def test_a_worker_that_remembers_gets_only_what_is_new(cell: Cell) -> None:
    await cell.start()
    await cell.step(record_marker("a"), sticky_attributes=sticky())
    polled = await soon(cell.poll(STICKY, sticky_of=QUEUE))
    await cell.signal("paid")
    task = await polled
    assert names(task.history.events) == [
        "WorkflowTaskCompleted",
        "MarkerRecorded",
        "WorkflowExecutionSignaled",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
    ]


@in_cell
async def test_a_task_of_a_worker_that_is_gone_reaches_another(cell: Cell) -> None:
    await cell.start()
    await cell.step(sticky_attributes=sticky())
    await cell.signal("paid")
    task = await cell.poll()
    assert names(task.history.events)[0] == "WorkflowExecutionStarted"


@in_cell
async def test_a_sticky_task_that_nobody_takes_times_out_to_the_normal_queue(cell: Cell) -> None:
    await cell.start()
    await cell.step(sticky_attributes=sticky())
    cell.timeout_seconds = 1.0
    await cell.poll(STICKY, sticky_of=QUEUE)
    await cell.signal("paid")
    cell.timeout_seconds = 65.0
    task = await cell.poll()
    assert "WorkflowTaskTimedOut" in names(task.history.events)


@in_cell
async def test_a_failing_workflow_task_is_tried_again_without_growing_its_history(
    cell: Cell,
) -> None:
    await cell.start()
    for _ in range(4):
        await cell.fail_workflow_task(await cell.poll())
    assert (await cell.events())[2:] == ["WorkflowTaskStarted", "WorkflowTaskFailed"]
    task = await cell.poll()
    assert task.attempt == 5
    assert names(task.history.events)[-2:] == ["WorkflowTaskScheduled", "WorkflowTaskStarted"]
    await cell.complete(task, complete_workflow())
    assert (await cell.events())[3:] == [
        "WorkflowTaskFailed",
        "WorkflowTaskScheduled",
        "WorkflowTaskStarted",
        "WorkflowTaskCompleted",
        "WorkflowExecutionCompleted",
    ]


@in_cell
async def test_a_workflow_task_of_a_dead_worker_times_out(cell: Cell) -> None:
    await cell.start(workflow_task_timeout=Duration(seconds=5))
    dead = await cell.poll()
    taken_at = cell.loop.time()
    task = await cell.poll()
    assert cell.loop.time() - taken_at >= 5
    assert task.attempt == dead.attempt + 1
    with pytest.raises(NotFound):
        await cell.complete(dead, complete_workflow())
    await cell.complete(task, complete_workflow())


@in_cell
async def test_a_worker_gets_the_next_task_in_the_reply_to_its_completion(cell: Cell) -> None:
    await cell.start()
    task = await cell.poll()
    await cell.signal("paid")
    answer = await cell.complete(task, sticky_attributes=sticky(), return_new_workflow_task=True)
    assert "WorkflowExecutionSignaled" in names(answer.workflow_task.history.events)
    await cell.complete(answer.workflow_task, complete_workflow())
    assert (await cell.events())[-1] == "WorkflowExecutionCompleted"


@in_cell
async def test_a_query_is_answered_by_a_worker_alone(cell: Cell) -> None:
    await cell.start()
    await cell.step(record_marker("a"))
    asked = await soon(cell.query("status"))
    task = await cell.poll()
    assert task.query.query_type == "status"
    await cell.ask(
        w.RespondQueryTaskCompletedRequest(
            task_token=task.task_token, completed_type=ANSWERED, query_result=text("packed")
        )
    )
    assert (await asked).query_result == text("packed")
    assert (await cell.facts())["workflow_queried"] == 1
    assert await cell.events() == names((await cell.history())[:5])


@in_cell
async def test_a_query_rides_on_a_waiting_workflow_task(cell: Cell) -> None:
    await cell.start()
    await cell.step()
    await cell.signal("paid")
    asked = await soon(cell.query("status"))
    task = await cell.poll()
    ((query_id, _),) = task.queries.items()
    result = w.RespondWorkflowTaskCompletedRequest().query_results[query_id]
    result.result_type = ANSWERED
    result.answer.CopyFrom(text("paid"))
    await cell.complete(task, query_results={query_id: result})
    assert (await asked).query_result == text("paid")


@in_cell
async def test_a_query_that_its_handler_refuses_says_why(cell: Cell) -> None:
    await cell.start()
    await cell.step()
    asked = await soon(cell.query("nonsense"))
    task = await cell.poll()
    await cell.ask(
        w.RespondQueryTaskCompletedRequest(
            task_token=task.task_token, completed_type=FAILED, error_message="no such query"
        )
    )
    with pytest.raises(QueryFailed, match="no such query"):
        await asked


@in_cell
async def test_a_closed_workflow_answers_queries(cell: Cell) -> None:
    await cell.start()
    await cell.step(complete_workflow())
    asked = await soon(cell.query("status"))
    task = await cell.poll()
    assert names(task.history.events)[-1] == "WorkflowExecutionCompleted"
    await cell.ask(
        w.RespondQueryTaskCompletedRequest(
            task_token=task.task_token, completed_type=ANSWERED, query_result=text("shipped")
        )
    )
    assert (await asked).query_result == text("shipped")


@in_cell
async def test_a_query_before_the_first_workflow_task_is_not_ready(cell: Cell) -> None:
    await cell.start()
    cell.timeout_seconds = 2
    with pytest.raises(WorkflowNotReady):
        await cell.query("status")


@in_cell
async def test_a_query_that_nobody_can_answer_says_that_no_worker_polls(cell: Cell) -> None:
    await cell.start()
    await cell.step()
    await cell.crash_and_restart()
    with pytest.raises(FailedPrecondition, match="no poller"):
        await cell.query("status")


@in_cell
async def test_a_poll_whose_client_left_loses_no_task(cell: Cell) -> None:
    polled = await soon(cell.poll())
    polled.cancel()
    await cell.start()
    assert (await cell.poll()).task_token


@in_cell
async def test_several_tasks_come_in_one_poll(cell: Cell) -> None:
    for number in range(5):
        await cell.start(f"order-{number}")
    request = PollTasksRequest(identity="worker", workflow_task_count_max=3)
    request.task_queue.name = QUEUE
    method = TASK_SERVICE + "PollTasks"
    first = await cell.rpc(method, request, PollTasksResponse)
    second = await cell.rpc(method, request, PollTasksResponse)
    tasks = [*first.workflow_tasks, *second.workflow_tasks]
    assert (len(first.workflow_tasks), len(second.workflow_tasks)) == (3, 2)
    assert len({task.workflow_execution.workflow_id for task in tasks}) == 5


@in_cell
async def test_one_poll_waits_for_both_kinds_of_tasks(cell: Cell) -> None:
    request = PollTasksRequest(
        identity="worker", workflow_task_count_max=1, activity_task_count_max=1
    )
    request.task_queue.name = QUEUE
    method = TASK_SERVICE + "PollTasks"
    polled = await soon(cell.rpc(method, request, PollTasksResponse))
    await cell.start()
    (task,) = (await polled).workflow_tasks
    polled = await soon(cell.rpc(method, request, PollTasksResponse))
    await cell.complete(task, schedule_activity())
    assert len((await polled).activity_tasks) == 1


async def complete_tasks(cell: Cell, *ended: Any, sticky_of: str) -> list[TaskCompletionResult]:
    """The results of activities that are completed, or else failed, in one call."""
    request = CompleteTasksRequest(sticky_task_queue=sticky_of)
    for token, is_success in ended:
        completion = request.completions.add()
        if is_success:
            completion.activity_task_completed.task_token = token
        else:
            completion.activity_task_failed.task_token = token
            failure = completion.activity_task_failed.failure.application_failure_info
            failure.non_retryable = True
    method = TASK_SERVICE + "CompleteTasks"
    return list((await cell.rpc(method, request, CompleteTasksResponse)).results)


@in_cell
async def test_what_the_end_of_an_activity_makes_comes_to_the_worker_that_ended_it(
    cell: Cell,
) -> None:
    await cell.start()
    await cell.step(schedule_activity("1"), schedule_activity("2"), sticky_attributes=sticky())
    polled = await soon(cell.poll(STICKY, sticky_of=QUEUE))
    first, second = [(await cell.poll_activity()).task_token for _ in range(2)]
    (done,) = await complete_tasks(cell, (first, True), sticky_of=STICKY)
    assert done.HasField("activity_task_completed")
    assert names(list(done.workflow_task.history.events))[-1] == "WorkflowTaskStarted"
    await cell.complete(done.workflow_task, sticky_attributes=sticky())
    (failed,) = await complete_tasks(cell, (second, False), sticky_of=STICKY)
    assert "ActivityTaskFailed" in names(list(failed.workflow_task.history.events))
    await cell.complete(failed.workflow_task, complete_workflow())
    assert not polled.done()
    polled.cancel()


@in_cell
async def test_the_workflow_task_of_another_worker_is_left_to_it(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity(), sticky_attributes=sticky())
    polled = await soon(cell.poll(STICKY, sticky_of=QUEUE))
    token = (await cell.poll_activity()).task_token
    (done,) = await complete_tasks(cell, (token, True), sticky_of="worker-2-sticky")
    assert not done.HasField("workflow_task")
    assert names((await polled).history.events)[-1] == "WorkflowTaskStarted"


@in_cell
async def test_activities_that_end_at_once_make_one_workflow_task(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity("1"), schedule_activity("2"), sticky_attributes=sticky())
    polled = await soon(cell.poll(STICKY, sticky_of=QUEUE))
    ended = [((await cell.poll_activity()).task_token, True) for _ in range(2)]
    results = await complete_tasks(cell, *ended, sticky_of=STICKY)
    (task,) = [one.workflow_task for one in results if one.HasField("workflow_task")]
    polled.cancel()
    await cell.complete(task, record_marker("seen"))
    events = await cell.events()
    assert events.count("ActivityTaskCompleted") == 2


@in_cell
async def test_a_history_is_read_in_pages_forwards_and_backwards(cell: Cell) -> None:
    await cell.start()
    for number in range(10):
        await cell.signal(f"s{number}")
    forwards: list[int] = []
    request = w.GetWorkflowExecutionHistoryRequest(maximum_page_size=4)
    request.execution.workflow_id = "order-1"
    while True:
        page = await cell.ask(request)
        assert len(page.history.events) <= 4
        forwards += [event.event_id for event in page.history.events]
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    backwards: list[int] = []
    back = w.GetWorkflowExecutionHistoryReverseRequest(maximum_page_size=5)
    back.execution.workflow_id = "order-1"
    while True:
        page = await cell.ask(back)
        backwards += [event.event_id for event in page.history.events]
        back.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert forwards == list(range(1, 13))
    assert backwards == forwards[::-1]


@in_cell
async def test_an_open_history_is_followed_until_it_closes(cell: Cell) -> None:
    await cell.start()
    request = w.GetWorkflowExecutionHistoryRequest(wait_new_event=True)
    request.execution.workflow_id = "order-1"
    page = await cell.ask(request)
    request.next_page_token = page.next_page_token
    following = await soon(cell.ask(request))
    await cell.step(complete_workflow())
    seen = list(page.history.events)
    page = await following
    while True:
        seen += page.history.events
        if not page.next_page_token:
            break
        request.next_page_token = page.next_page_token
        page = await cell.ask(request)
    assert names(seen) == await cell.events()
