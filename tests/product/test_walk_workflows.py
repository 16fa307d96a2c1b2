"""What workflow and client code may do, done against a real server with our own client library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import Client, Worker, activity, workflow
from perdure.client import WorkflowExecutionStatus, WorkflowHandle
from perdure.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    RPCError,
    RPCStatusCode,
    TerminatedError,
    WorkflowAlreadyStartedError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
)
from perdure.policies import RetryPolicy
from perdure.worker import Replayer
from tests.product.client import open_account
from tests.product.server import Product

QUEUE = "walk"
LONG = timedelta(hours=1)
NAP = timedelta(milliseconds=50)
AT_ONCE = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=5)


@activity.defn
async def stumble(times: int) -> int:
    """The attempt that succeeds, after as many failures."""
    if activity.info().attempt <= times:
        raise ApplicationError("stumbled", type="Stumble")
    return activity.info().attempt


@activity.defn
async def refuse() -> None:
    raise ApplicationError("never", type="Never", non_retryable=True)


@activity.defn
async def linger() -> None:
    """Until it is told to stop, which it hears with a heartbeat."""
    activity.heartbeat("here")
    await asyncio.Event().wait()


@activity.defn
def clean_up(what: str) -> str:
    return f"{what} is clean"


@workflow.defn
class Climb:
    @workflow.run
    async def run(self, times: int) -> int:
        return await workflow.execute_activity(
            stumble, times, start_to_close_timeout=LONG, retry_policy=AT_ONCE
        )


@workflow.defn
class Fall:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(refuse, start_to_close_timeout=LONG)


@workflow.defn
class Collection:
    """Gathers signals until it is told to end; naps before it does."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.is_over = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.is_over)
        await workflow.sleep(NAP)
        return self.items

    @workflow.signal
    def put(self, item: str) -> None:
        self.items.append(item)

    @workflow.signal
    async def close(self) -> None:
        self.is_over = True

    @workflow.query
    def count(self) -> int:
        return len(self.items)

    @workflow.query
    def item(self, at: int) -> str:
        return self.items[at]


@workflow.defn
class Countdown:
    @workflow.run
    async def run(self, left: int, passed: int = 0) -> int:
        if left:
            workflow.continue_as_new(args=[left - 1, passed + 1])
        return passed


@workflow.defn
class Patient:
    """Cleans up when it is cancelled, and tells so as its cancellation."""

    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.execute_activity(
                linger, start_to_close_timeout=LONG, heartbeat_timeout=timedelta(seconds=2)
            )
        except ActivityError:
            await workflow.execute_activity(clean_up, "room", start_to_close_timeout=LONG)
            raise
        return "not cancelled"


@workflow.defn
class Insistent:
    """Fails until its last attempt, and tells what it was told each time."""

    @workflow.run
    async def run(self, attempts: int) -> list[str]:
        info, failure = workflow.info(), workflow.get_last_failure()
        if info.attempt < attempts:
            raise ApplicationError(f"attempt {info.attempt}")
        assert isinstance(failure, ApplicationError)
        return [failure.message, info.first_execution_run_id]


@workflow.defn
class Report:
    """Goes on from the last result; the second report takes until it is cancelled."""

    @workflow.run
    async def run(self) -> int:
        if not workflow.has_last_completion_result():
            return 1
        workflow.upsert_memo({"last": workflow.get_last_completion_result(int)})
        await workflow.sleep(LONG)
        return 0


WORKFLOWS = [Climb, Fall, Collection, Countdown, Patient, Insistent, Report]
ACTIVITIES: list[Callable[..., object]] = [stumble, refuse, linger, clean_up]


@pytest.fixture(scope="module")
async def client(shared: Product) -> AsyncIterator[Client]:
    """A client whose worker runs as long as the tests of this module."""
    access = await open_account(shared, "walk")
    async with (
        await Client.connect(
            shared.address, namespace=access.namespace, api_key=access.key
        ) as client,
        Worker(client, task_queue=QUEUE, workflows=WORKFLOWS, activities=ACTIVITIES),
    ):
        yield client
    await access.owner.http.aclose()


async def kinds(handle: WorkflowHandle) -> list[str]:
    history = await handle.fetch_history()
    return [event["eventType"].removeprefix("EVENT_TYPE_") for event in history.events]


@pytest.mark.allow_log("activity_failed")
async def test_an_activity_is_tried_again_until_it_succeeds(client: Client) -> None:
    handle = await client.start_workflow(Climb.run, 3, id="climb", task_queue=QUEUE)
    assert await handle.result() == 4
    # However many attempts it took, history holds the last one.
    assert (await kinds(handle)).count("ACTIVITY_TASK_STARTED") == 1


@pytest.mark.allow_log("activity_failed")
async def test_a_failure_arrives_with_its_causes(client: Client) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow(Fall.run, id="fall", task_queue=QUEUE)
    failure = caught.value.cause
    assert isinstance(failure, ActivityError)
    assert failure.activity_type == "refuse"
    assert isinstance(failure.cause, ApplicationError)
    assert (failure.cause.message, failure.cause.type) == ("never", "Never")


async def test_signals_arrive_in_order_and_queries_see_them(client: Client) -> None:
    handle = await client.start_workflow(Collection.run, id="collection", task_queue=QUEUE)
    items = [f"item {number}" for number in range(20)]
    for item in items:
        await handle.signal(Collection.put, item)
    assert await handle.query(Collection.count) == len(items)
    assert await handle.query(Collection.item, 7) == "item 7"
    with pytest.raises(WorkflowQueryFailedError, match="list index out of range"):
        await handle.query(Collection.item, 99)
    await handle.signal(Collection.close)
    assert await handle.result() == items
    assert await handle.query(Collection.count) == len(items), "a closed run answers too"


async def test_a_timer_fires_no_earlier_than_it_was_asked_to(client: Client) -> None:
    handle = await client.start_workflow(
        Collection.run,
        id="nap",
        task_queue=QUEUE,
        start_signal="close",
    )
    assert await handle.result() == []
    at = {
        event["eventType"]: datetime.fromisoformat(event["eventTime"][:26]).replace(tzinfo=UTC)
        for event in (await handle.fetch_history()).events
    }
    assert at["EVENT_TYPE_TIMER_FIRED"] - at["EVENT_TYPE_TIMER_STARTED"] >= NAP


async def test_a_chain_of_runs_has_one_result(client: Client) -> None:
    handle = await client.start_workflow(Countdown.run, 3, id="countdown", task_queue=QUEUE)
    assert await handle.result() == 3
    runs = [run async for run in client.list_workflows("WorkflowId = 'countdown'")]
    assert [run.status for run in runs] == [
        WorkflowExecutionStatus.COMPLETED,
        *[WorkflowExecutionStatus.CONTINUED_AS_NEW] * 3,
    ]
    assert runs[-1].run_id == handle.first_execution_run_id


async def test_a_failed_workflow_is_tried_again_by_its_policy(client: Client) -> None:
    handle = await client.start_workflow(
        Insistent.run, 3, id="insistent", task_queue=QUEUE, retry_policy=AT_ONCE
    )
    assert await handle.result() == ["attempt 2", handle.first_execution_run_id]
    first = client.get_workflow_handle("insistent", run_id=handle.first_execution_run_id)
    with pytest.raises(WorkflowFailureError) as caught:
        await first.result(follow_runs=False)
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.message == "attempt 1"


async def test_a_cron_workflow_has_the_last_result_and_ends_when_it_is_cancelled(
    client: Client,
) -> None:
    handle = await client.start_workflow(
        Report.run, id="report", task_queue=QUEUE, cron_schedule="@every 1s"
    )
    first = client.get_workflow_handle("report", run_id=handle.first_execution_run_id)
    assert await first.result(follow_runs=False) == 1
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert await (await handle.describe()).memo() == {"last": 1}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"cron_schedule": "61 * * * *"}, "cron_schedule '61 .* is not between 0 and 59; write"),
        ({"retry_policy": RetryPolicy(maximum_attempts=-1)}, "retry_policy: maximum_attempts must"),
    ],
)
async def test_a_start_with_a_bad_option_says_which(
    client: Client, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(RPCError, match=why) as refused:
        await client.start_workflow(Report.run, id="bad", task_queue=QUEUE, **options)
    assert refused.value.status is RPCStatusCode.INVALID_ARGUMENT


@pytest.mark.allow_log("activity_failed")
async def test_a_cancelled_workflow_cleans_up(client: Client) -> None:
    handle = await client.start_workflow(Patient.run, id="patient", task_queue=QUEUE)
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED":
            break
    await handle.cancel(reason="no longer wanted")
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    cleaned = [
        event
        for event in (await handle.fetch_history()).events
        if event.get("activityTaskScheduledEventAttributes", {}).get("activityType", {})
        == {"name": "clean_up"}
    ]
    assert len(cleaned) == 1


async def test_a_terminated_workflow_runs_no_more_code(client: Client) -> None:
    handle = await client.start_workflow(Collection.run, id="terminated", task_queue=QUEUE)
    await handle.terminate(reason="enough")
    with pytest.raises(WorkflowFailureError) as caught:
        await handle.result()
    assert isinstance(caught.value.cause, TerminatedError)
    assert caught.value.cause.message == "enough"
    assert (await kinds(handle))[-1] == "WORKFLOW_EXECUTION_TERMINATED"


async def test_an_open_id_is_started_once(client: Client) -> None:
    first = await client.start_workflow(Collection.run, id="only", task_queue=QUEUE)
    with pytest.raises(WorkflowAlreadyStartedError) as caught:
        await client.start_workflow(Collection.run, id="only", task_queue=QUEUE)
    assert caught.value.run_id == first.result_run_id
    await first.terminate()


async def test_what_has_closed_is_listed_at_once(client: Client) -> None:
    started = [
        await client.start_workflow(Countdown.run, 0, id=f"listed-{number}", task_queue=QUEUE)
        for number in range(5)
    ]
    await asyncio.gather(*(handle.result() for handle in started))
    query = "WorkflowId STARTS_WITH 'listed-' AND ExecutionStatus = 'Completed'"
    listed = {run.id async for run in client.list_workflows(query, page_size=2)}
    assert listed == {handle.id for handle in started}
    assert (await client.count_workflows(query)).count == 5
    groups = (await client.count_workflows(f"{query} GROUP BY ExecutionStatus")).groups
    assert [(list(values), count) for values, count in groups] == [(["Completed"], 5)]


async def test_a_saved_history_replays_without_the_server(client: Client) -> None:
    handle = await client.start_workflow(Collection.run, id="replayed", task_queue=QUEUE)
    await handle.signal(Collection.put, "one")
    await handle.signal(Collection.close)
    assert await handle.result() == ["one"]
    history = await handle.fetch_history()
    assert [int(event["eventId"]) for event in history.events] == list(
        range(1, len(history.events) + 1)
    )
    await Replayer(workflows=[Collection]).replay_workflow(history)
