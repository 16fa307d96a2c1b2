"""With the codec on, the cloud never sees what its customers' programs tell each other."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import Client, Worker, activity, workflow
from perdure.client import WorkflowHandle
from perdure.converter import DataConverter
from perdure.encryption import AesGcmCodec
from perdure.exceptions import (
    ActivityError,
    ApplicationError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
)
from perdure.policies import RetryPolicy
from tests.product.client import open_account
from tests.product.server import Preloaded, serving
from tests.product.wiretap import Wiretap, files_below, found, tapped

QUEUE = "secrets"
LONG = timedelta(hours=1)

INPUT, RESULT = "canary of the input", "canary of the result"
MEMO, NEW_MEMO = "canary of the memo", "canary of the upserted memo"
SUMMARY, ACTIVITY_SUMMARY = "canary of the summary", "canary of the activity's summary"
ACTIVITY_INPUT, ACTIVITY_RESULT = "canary given to an activity", "canary told by an activity"
ACTIVITY_FAILURE, ATTEMPT_FAILURE = "canary of the last attempt", "canary of an early attempt"
HEARTBEAT = "canary of the heartbeat"
SIGNAL, FIRST_SIGNAL = "canary of the signal", "canary of the signal with start"
CONTINUED = "canary of the next run"
FAILURE, DETAILS = "canary of the failure", "canary of the failure's details"
BUG, TERMINATION = "canary of the bug", "canary of the termination"
STACK = "canary_in_the_stack"

STORED = frozenset(
    {
        *(INPUT, RESULT, MEMO, NEW_MEMO, SUMMARY, ACTIVITY_SUMMARY, ACTIVITY_INPUT),
        *(ACTIVITY_RESULT, ACTIVITY_FAILURE, ATTEMPT_FAILURE, HEARTBEAT, SIGNAL, FIRST_SIGNAL),
        *(CONTINUED, FAILURE, DETAILS, BUG, TERMINATION, STACK),
    }
)
QUESTION, ANSWER = "canary of the question", "canary of the answer"
NO_ANSWER = "canary of the refused answer"
CANARIES = STORED | {QUESTION, ANSWER, NO_ANSWER}


@activity.defn
async def tell(given: str) -> str:
    assert given == ACTIVITY_INPUT
    return ACTIVITY_RESULT


@activity.defn
async def break_down() -> None:
    raise ApplicationError(ACTIVITY_FAILURE if activity.info().attempt > 1 else ATTEMPT_FAILURE)


@activity.defn
async def watch() -> None:
    activity.heartbeat(HEARTBEAT)
    await asyncio.Event().wait()


@workflow.defn
class Confidant:
    """Hears and tells one secret of every kind, in two runs."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self, given: str) -> str:
        if given == CONTINUED:
            return RESULT
        workflow.upsert_memo({"new": NEW_MEMO})
        await workflow.execute_activity(
            tell, ACTIVITY_INPUT, start_to_close_timeout=LONG, summary=ACTIVITY_SUMMARY
        )
        policy = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=2)
        try:
            await workflow.execute_activity(
                break_down, start_to_close_timeout=LONG, retry_policy=policy
            )
        except ActivityError:
            await workflow.wait_condition(lambda: len(self.heard) == 2)
        workflow.continue_as_new(CONTINUED)

    @workflow.signal
    def hear(self, secret: str) -> None:
        self.heard.append(secret)

    @workflow.query
    def answer(self, question: str) -> str:
        if question != QUESTION:
            raise ApplicationError(NO_ANSWER)
        return ANSWER


@workflow.defn
class Failing:
    @workflow.run
    async def run(self) -> None:
        self.canary_in_the_stack()

    def canary_in_the_stack(self) -> None:
        raise ApplicationError(FAILURE, DETAILS)


@workflow.defn
class Broken:
    @workflow.run
    async def run(self) -> None:
        raise KeyError(BUG)


@workflow.defn
class Watching:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(watch, start_to_close_timeout=LONG, heartbeat_timeout=LONG)


async def confide(client: Client) -> None:
    """Every secret goes its way, as far as one run of each workflow takes it."""
    confidant = await client.start_workflow(
        Confidant.run,
        INPUT,
        id="confidant",
        task_queue=QUEUE,
        memo={"note": MEMO},
        static_summary=SUMMARY,
        start_signal="hear",
        start_signal_args=[FIRST_SIGNAL],
    )
    assert await confidant.query(Confidant.answer, QUESTION) == ANSWER
    with pytest.raises(WorkflowQueryFailedError, match=NO_ANSWER):
        await confidant.query(Confidant.answer, "something else")
    await confidant.signal(Confidant.hear, SIGNAL)
    assert await confidant.result() == RESULT
    failing = await client.start_workflow(Failing.run, id="failing", task_queue=QUEUE)
    with pytest.raises(WorkflowFailureError) as caught:
        await failing.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert (caught.value.cause.message, caught.value.cause.details) == (FAILURE, (DETAILS,))
    assert STACK in str(caught.value.cause.failure)
    broken = await client.start_workflow(Broken.run, id="broken", task_queue=QUEUE)
    await until(broken, "WORKFLOW_TASK_FAILED")
    await broken.terminate(TERMINATION)
    watching = await client.start_workflow(Watching.run, id="watching", task_queue=QUEUE)
    while not (await pending(watching)).get("heartbeatDetails"):
        pass
    await watching.terminate()


async def until(handle: WorkflowHandle, kind: str) -> None:
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event["eventType"] == f"EVENT_TYPE_{kind}":
            return


async def pending(handle: WorkflowHandle) -> dict[str, object]:
    [activity] = (await handle.describe()).raw_description.get("pendingActivities") or [{}]
    return dict(activity)


@pytest.mark.allow_log("activity_failed", "workflow_task_failed")
@pytest.mark.parametrize("is_encrypted", [True, False], ids=["sealed", "in_clear"])
async def test_a_secret_shows_nowhere(
    preloaded: Preloaded, tmp_path: Path, is_encrypted: bool
) -> None:
    codec = AesGcmCodec({"1": os.urandom(32)}, "1") if is_encrypted else None
    async with serving(preloaded, tmp_path / "data") as product:
        access = await open_account(product)
        async with tapped(product.address) as tap:
            await talk(tap, access.namespace, access.key, DataConverter(codec=codec))
        await access.owner.http.aclose()
        before = files_below(product.data)
        product.stop()
        files = before + files_below(product.data)
    assert found(CANARIES, bytes(tap.heard)) == (set() if is_encrypted else CANARIES)
    assert found(CANARIES, files) == (set() if is_encrypted else STORED)
    log = product.log.read_bytes()
    assert b"Perdure is ready" in log
    assert found(CANARIES, log) == set()


async def talk(tap: Wiretap, namespace: str, key: str, converter: DataConverter) -> None:
    async with (
        await Client.connect(
            tap.address, namespace=namespace, api_key=key, data_converter=converter
        ) as client,
        Worker(
            client,
            task_queue=QUEUE,
            workflows=[Confidant, Failing, Broken, Watching],
            activities=[tell, break_down, watch],
        ),
    ):
        await confide(client)


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("after", range(3))
def test_a_secret_is_found_in_base64_wherever_it_begins(before: int, after: int) -> None:
    data = b"." * before + RESULT.encode() + b"!" * after
    assert found({RESULT, INPUT}, b64encode(data)) == {RESULT}
