"""A worker doing workflow tasks for a scripted cloud."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import pytest

from perdure import activity, workflow
from perdure.client import Client
from perdure.converter import DataConverter, JsonPayloadConverter
from perdure.encryption import AesGcmCodec
from perdure.exceptions import ApplicationError, RPCStatusCode
from perdure.failure import from_failure
from perdure.worker import Worker, threads
from tests.sdk.door import Door, Refusal
from tests.sdk.story import kind_of
from tests.sdk.worked_run import STICKY, WorkedRun

CANARY = "canary-of-clear-text"
LONG = timedelta(days=30)


@activity.defn
async def charge(cents: int) -> str:
    return f"charged {cents}"


@workflow.defn
class Subscription:
    def __init__(self) -> None:
        self.state = "new"

    @workflow.run
    async def run(self, name: str) -> str:
        self.state = "waiting"
        await workflow.sleep(LONG)
        paid = await workflow.execute_activity(charge, 5, start_to_close_timeout=LONG)
        return f"{name}: {paid}"

    @workflow.query
    def status(self) -> str:
        return self.state

    @workflow.query
    def broken(self) -> str:
        raise ApplicationError(CANARY)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    async with door.client() as client:
        yield client


def worker(client: Client, *workflows: type, **options: Any) -> Worker:
    return Worker(client, task_queue="queue", workflows=workflows or (Subscription,), **options)


def kinds(completion: dict[str, Any]) -> list[str]:
    return [kind_of(command) for command in completion.get("commands", [])]


def value(message: dict[str, Any]) -> Any:
    return JsonPayloadConverter().from_payloads(message)[0]


async def test_a_run_goes_from_start_to_result_on_the_sticky_queue(
    door: Door, client: Client
) -> None:
    run = WorkedRun(door, Subscription, "Ada")
    async with worker(client) as running:
        first = await run.works()
        assert kinds(first) == ["START_TIMER"]
        sticky = first["stickyAttributes"]["workerTaskQueue"]
        assert (sticky["kind"], sticky["normalName"]) == (STICKY, "queue")
        assert sticky["name"] == running.settings.sticky_task_queue["name"]
        run.story.fires("1")
        assert kinds(await run.works(sticky=True)) == ["SCHEDULE_ACTIVITY_TASK"]
        run.story.completes("1", "paid")
        last = await run.works(sticky=True)
        assert kinds(last) == ["COMPLETE_WORKFLOW_EXECUTION"]
    result = last["commands"][0]["completeWorkflowExecutionCommandAttributes"]["result"]
    assert value(result) == "Ada: paid"
    assert "GetWorkflowExecutionHistory" not in door.calls


async def test_the_answer_to_a_completion_may_be_the_next_task(door: Door, client: Client) -> None:
    run = WorkedRun(door, Subscription, "Ada")

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if not request.get("returnNewWorkflowTask") or kinds(request) != ["START_TIMER"]:
            return {}
        run.story.happens("WORKFLOW_TASK_COMPLETED")
        run.story.happens("TIMER_STARTED", **request["commands"][0]["startTimerCommandAttributes"])
        run.story.fires("1")
        return {"workflowTask": run.task(partial=True)}

    door.answers["RespondWorkflowTaskCompleted"] = answer
    async with worker(client):
        door.workflow_tasks.put_nowait(run.task())
        await door.called("RespondWorkflowTaskCompleted")
        second = await door.called("RespondWorkflowTaskCompleted")
    assert kinds(second) == ["SCHEDULE_ACTIVITY_TASK"]


async def test_a_worker_that_lost_its_cache_reads_the_whole_history(
    door: Door, client: Client
) -> None:
    run = WorkedRun(door, Subscription, "Ada")
    async with worker(client):
        await run.works()
    run.story.fires("1")
    recorded = list(run.story.events)
    door.answers["GetWorkflowExecutionHistory"] = lambda request: (
        {"history": {"events": recorded[3:]}}
        if "nextPageToken" in request
        else {"history": {"events": recorded[:3]}, "nextPageToken": "AQID"}
    )
    async with worker(client):
        assert kinds(await run.works(sticky=True)) == ["SCHEDULE_ACTIVITY_TASK"]


async def test_a_full_cache_lets_the_oldest_run_go(door: Door, client: Client) -> None:
    run = WorkedRun(door, Subscription, "Ada")
    other = WorkedRun(door, Subscription, "Bo")
    other.header = lambda token: {  # type: ignore[method-assign]
        **WorkedRun.header(other, token),
        "workflowExecution": {"workflowId": "other", "runId": "run-2"},
    }
    async with worker(client, max_cached_workflows=1):
        await run.works()
        await other.works()
        run.story.fires("1")
        door.answers["GetWorkflowExecutionHistory"] = lambda _: {
            "history": {"events": run.story.events}
        }
        assert kinds(await run.works(sticky=True)) == ["SCHEDULE_ACTIVITY_TASK"]
    assert door.calls["GetWorkflowExecutionHistory"].qsize() == 1


@workflow.defn
class Buggy:
    @workflow.run
    async def run(self) -> None:
        raise KeyError(CANARY)


@pytest.mark.allow_log("workflow_task_failed")
async def test_a_bug_fails_the_task_once_and_leaves_the_workflow_open(
    door: Door, client: Client
) -> None:
    run = WorkedRun(door, Buggy)
    async with worker(client, Buggy, Subscription):
        door.workflow_tasks.put_nowait(run.task())
        failed = await door.called("RespondWorkflowTaskFailed")
        assert failed["cause"] == ("WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE")
        assert failed["failure"]["applicationFailureInfo"]["type"] == "KeyError"
        assert "test_workflow_worker" in failed["failure"]["stackTrace"]
        run.story.happens("WORKFLOW_TASK_FAILED")
        door.workflow_tasks.put_nowait(run.task(attempt=2))
        await WorkedRun(door, Subscription, "next").works()
    assert door.calls["RespondWorkflowTaskFailed"].empty(), "later attempts are left to time out"
    assert door.calls["RespondWorkflowTaskCompleted"].empty()


@pytest.mark.allow_log("workflow_task_failed")
async def test_changed_code_and_unknown_types_fail_the_task_with_their_reason(
    door: Door, client: Client
) -> None:
    run = WorkedRun(door, Subscription, "Ada")
    task = run.task()
    run.story.happens("WORKFLOW_TASK_COMPLETED")
    run.story.happens("TIMER_STARTED", timerId="7", startToFireTimeout="1s")
    async with worker(client):
        door.workflow_tasks.put_nowait(run.task())
        failed = await door.called("RespondWorkflowTaskFailed")
        assert failed["cause"] == "WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR"
        assert "TIMER_STARTED(7)" in failed["failure"]["message"]
        task["workflowType"] = {"name": "Missing"}
        door.workflow_tasks.put_nowait(task)
        failed = await door.called("RespondWorkflowTaskFailed")
        assert "'Missing' is not registered" in failed["failure"]["message"]


async def test_a_refused_completion_makes_the_worker_forget_the_run(
    door: Door, client: Client
) -> None:
    run = WorkedRun(door, Subscription, "Ada")
    refusals = [Refusal(RPCStatusCode.INVALID_ARGUMENT, "UnhandledCommand")]

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        if refusals:
            raise refusals.pop()
        return {}

    door.answers["RespondWorkflowTaskCompleted"] = answer
    async with worker(client):
        door.workflow_tasks.put_nowait(run.task())
        await door.called("RespondWorkflowTaskCompleted")
        run.story.happens("WORKFLOW_TASK_FAILED")
        run.story.signals("news")
        assert kinds(await run.works()) == ["START_TIMER"]


async def test_what_a_run_did_in_a_task_that_timed_out_did_not_happen(
    door: Door, client: Client
) -> None:
    """The next task may come before the worker hears that its completion was too late."""
    run = WorkedRun(door, Subscription, "Ada")
    is_told = asyncio.Event()

    async def come_too_late() -> dict[str, Any]:
        await is_told.wait()
        raise Refusal(RPCStatusCode.NOT_FOUND)

    def answer(_: dict[str, Any]) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        return come_too_late() if run.story.events[-1]["eventId"] == "3" else {}

    door.answers["RespondWorkflowTaskCompleted"] = answer
    async with worker(client):
        door.workflow_tasks.put_nowait(run.task())
        await door.called("RespondWorkflowTaskCompleted")
        run.story.happens("WORKFLOW_TASK_TIMED_OUT")
        assert kinds(await run.works()) == ["START_TIMER"]
        is_told.set()
        run.story.fires("1")
        assert kinds(await run.works(sticky=True)) == ["SCHEDULE_ACTIVITY_TASK"]


async def test_queries_are_answered_with_a_task_and_on_their_own(
    door: Door, client: Client
) -> None:
    run = WorkedRun(door, Subscription, "Ada")
    queries = {"q1": {"queryType": "status"}, "q2": {"queryType": "missing"}}
    async with worker(client):
        results = (await run.works(queries=queries))["queryResults"]
        assert results["q1"]["resultType"] == "QUERY_RESULT_TYPE_ANSWERED"
        assert value(results["q1"]["answer"]) == "waiting"
        assert results["q2"]["resultType"] == "QUERY_RESULT_TYPE_FAILED"
        assert "known queries: broken, status" in results["q2"]["errorMessage"]
        for query, kind in (("status", "ANSWERED"), ("broken", "FAILED")):
            task = {**run.header("query"), "query": {"queryType": query}, "history": {}}
            door.sticky_tasks.put_nowait(task)
            answered = await door.called("RespondQueryTaskCompleted")
            assert answered["completedType"] == f"QUERY_RESULT_TYPE_{kind}"
        run.story.fires("1")
        assert kinds(await run.works(sticky=True)) == ["SCHEDULE_ACTIVITY_TASK"]


async def test_a_closed_run_is_queried_from_its_whole_history(door: Door, client: Client) -> None:
    run = WorkedRun(door, Subscription, "Ada")
    async with worker(client):
        await run.works()
        run.story.fires("1")
        await run.works(sticky=True)
        run.story.completes("1", "paid")
        await run.works(sticky=True)
        history = {"events": run.story.events}
        task = {**run.header("query"), "query": {"queryType": "status"}, "history": history}
        door.workflow_tasks.put_nowait(task)
        answered = await door.called("RespondQueryTaskCompleted")
    assert value(answered["queryResult"]) == "waiting"


@pytest.mark.allow_log("workflow_task_failed")
async def test_code_that_blocks_its_thread_is_reported_and_others_go_on(
    door: Door, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    @workflow.defn
    class Blocking:
        @workflow.run
        async def run(self) -> None:
            released.wait()

    monkeypatch.setattr(threads, "DEADLOCK_SECONDS", 0.01)
    async with worker(client, Blocking, Subscription):
        door.workflow_tasks.put_nowait(WorkedRun(door, Blocking).task())
        failed = await door.called("RespondWorkflowTaskFailed")
        assert "blocked its thread" in failed["failure"]["message"]
        monkeypatch.undo()
        assert kinds(await WorkedRun(door, Subscription, "Ada").works()) == ["START_TIMER"]
        released.set()


async def test_stopping_gives_up_the_sticky_queue(door: Door, client: Client) -> None:
    async with worker(client) as running:
        await WorkedRun(door, Subscription, "Ada").works()
    announced = await door.called("ShutdownWorker")
    assert announced["stickyTaskQueue"] == running.settings.sticky_task_queue["name"]
    assert not running.is_running


@pytest.mark.allow_log("workflow_task_failed")
async def test_with_a_codec_nothing_of_a_workflow_leaves_in_clear(door: Door) -> None:
    @workflow.defn
    class Secretive:
        @workflow.run
        async def run(self, secret: str) -> str:
            workflow.upsert_memo({"secret": secret})
            await workflow.execute_activity(
                charge, args=[secret], start_to_close_timeout=LONG, summary=secret
            )
            if self.told:
                raise ApplicationError(secret, secret)
            raise KeyError(secret)

        told = True

        @workflow.query
        def ask(self, secret: str) -> str:
            raise ApplicationError(secret)

    converter = DataConverter(codec=AesGcmCodec({"k": bytes(32)}, "k"))
    run = WorkedRun(door, Secretive, CANARY)
    asked = converter.payload_converter.to_payloads([CANARY])
    query = {"queryType": "ask", "queryArgs": asked}
    async with door.client(converter) as client, worker(client, Secretive):
        first = await run.works(queries={"q": query})
        assert kinds(first) == ["MODIFY_WORKFLOW_PROPERTIES", "SCHEDULE_ACTIVITY_TASK"]
        run.story.completes("1", "done")
        last = await run.works(sticky=True)
        assert kinds(last) == ["FAIL_WORKFLOW_EXECUTION"]
        Secretive.told = False
        bug = WorkedRun(door, Secretive, CANARY)
        await bug.works()
        bug.story.completes("1", "done")
        door.sticky_tasks.put_nowait(bug.task(partial=True))
        reported = await door.called("RespondWorkflowTaskFailed")
    bodies = b"".join(door.bodies)
    assert CANARY.encode() not in bodies
    assert b"test_workflow_worker" not in bodies
    failure = await converter.decode(reported["failure"])
    assert CANARY in from_failure(failure, converter).message
    assert first["queryResults"]["q"]["errorMessage"] == "Encoded failure"
