"""The bill says what the histories say, to the last Action; and the command notices if not."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import Client, Worker, activity, workflow
from perdure.client import WorkflowHandle
from perdure.exceptions import (
    ApplicationError,
    WorkflowAlreadyStartedError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
)
from perdure.policies import RetryPolicy, WorkflowIDConflictPolicy
from tests.product.client import Access, open_account
from tests.product.server import Product

QUEUE = "errands"
LONG = timedelta(hours=1)
MOMENT = timedelta(milliseconds=1)
COMMAND = Path(sys.executable).with_name("perdure")
COLLECTED_SECONDS_MAX = 30
LOOK_AGAIN_SECONDS = 0.05

STARTED, SIGNALED_AT_START = 4, 3
CHAINS = STARTED + SIGNALED_AT_START
RUNS = CHAINS * 2
EXPECTED = Counter(
    {
        "start_workflow": STARTED + 1,
        "signal_workflow_with_start": SIGNALED_AT_START,
        "signal_workflow": STARTED,
        "continue_as_new_workflow": CHAINS,
        "schedule_activity": RUNS,
        "retry_activity": RUNS * 2,
        "record_activity_heartbeat": RUNS,
        "start_timer": RUNS,
        "query_workflow": CHAINS * 2,
    }
)
"""What the load costs. Refused and repeated calls, markers of patches and ends are free."""


class Errands:
    """An activity that beats once and fails twice."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn
    async def run_errand(self) -> str:
        if activity.info().attempt < 3:
            raise ApplicationError("closed", type="Closed")
        # Asked for by hand, since a worker sends fewer heartbeats than its code makes.
        body = {"taskToken": activity.info().task_token}
        await self._client.calls.post("activity-heartbeat", body=body)
        return "milk"


@workflow.defn
class Errand:
    """Two runs; the first one waits for a signal."""

    def __init__(self) -> None:
        self.may_go = False

    @workflow.run
    async def run(self, is_second: bool = False) -> str:
        workflow.patched("by bicycle")
        policy = RetryPolicy(initial_interval=MOMENT, maximum_attempts=3)
        found = await workflow.execute_activity(
            "run_errand", start_to_close_timeout=LONG, retry_policy=policy
        )
        await workflow.sleep(MOMENT)
        if is_second:
            return str(found)
        await workflow.wait_condition(lambda: self.may_go)
        workflow.continue_as_new(True)

    @workflow.signal
    def go(self) -> None:
        self.may_go = True

    @workflow.query
    def answer(self, is_known: bool) -> bool:
        if not is_known:
            raise ApplicationError("not known")
        return True


async def load(client: Client) -> None:
    """Everything that costs, and what is free beside it."""
    handles = [
        await client.start_workflow(Errand.run, id=f"errand-{number}", task_queue=QUEUE)
        for number in range(STARTED)
    ]
    handles += [
        await client.start_workflow(
            Errand.run, id=f"signaled-{number}", task_queue=QUEUE, start_signal="go"
        )
        for number in range(SIGNALED_AT_START)
    ]
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(Errand.run, id="errand-0", task_queue=QUEUE)
    await client.start_workflow(
        Errand.run,
        id="errand-0",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    await asyncio.gather(*(ask(handle) for handle in handles))
    for handle in handles[:STARTED]:
        await handle.signal(Errand.go)
    assert await asyncio.gather(*(handle.result() for handle in handles)) == ["milk"] * CHAINS
    await asyncio.gather(*(ask(handle) for handle in handles))
    ended = await client.start_workflow(Errand.run, id="ended", task_queue="nobody's")
    await ended.cancel()
    await ended.terminate()
    with pytest.raises(WorkflowFailureError):
        await ended.result()


async def ask(handle: WorkflowHandle) -> None:
    assert await handle.query(Errand.answer, True)
    with pytest.raises(WorkflowQueryFailedError):
        await handle.query(Errand.answer, False)


async def used(access: Access) -> Counter[str]:
    told = await access.owner.get("/api/v1/usage", namespace=access.namespace)
    actions: Counter[str] = Counter()
    for row in told["usage"]:
        actions[row["action"]] += row["count"]
    return actions


async def collected(access: Access) -> Counter[str]:
    """The usage once it has as much as is expected; collecting takes some seconds."""
    async with asyncio.timeout(COLLECTED_SECONDS_MAX):
        while True:
            usage = await used(access)
            if usage.total() >= EXPECTED.total():
                return usage
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def recounted(product: Product, access: Access) -> tuple[int | None, str]:
    """The exit code and the words of the command."""
    command = await asyncio.create_subprocess_exec(
        str(COMMAND),
        "recount",
        env={
            **os.environ,
            "PERDURE_ADDRESS": product.address,
            "PERDURE_NAMESPACE": access.namespace,
            "PERDURE_API_KEY": access.key,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await command.communicate()
    return command.returncode, told.decode()


def tamper(database: Path) -> None:
    """Somebody adds one timer to the ledger."""
    with closing(sqlite3.connect(database)) as connection, connection:
        changed = connection.execute(
            "UPDATE usage_hour SET count = count + 1 WHERE rowid ="
            " (SELECT min(rowid) FROM usage_hour WHERE action = 'start_timer')"
        )
        assert changed.rowcount == 1


@pytest.mark.allow_log("activity_failed")
async def test_the_ledger_is_what_the_histories_say(product: Product) -> None:
    access = await open_account(product)
    async with await Client.connect(
        product.address, namespace=access.namespace, api_key=access.key
    ) as client:
        activities = [Errands(client).run_errand]
        async with Worker(client, task_queue=QUEUE, workflows=[Errand], activities=activities):
            await load(client)
    assert await collected(access) == EXPECTED
    total = EXPECTED.total()
    verdict = f"Runs: {RUNS + 1}. Actions recounted: {total}, in the usage: {total}: equal\n"
    assert await recounted(product, access) == (0, verdict)
    tamper(product.data / "control.db")
    code, told = await recounted(product, access)
    assert code == 1
    assert "start_timer" in told
    assert told.splitlines()[1].endswith("+1")
    await access.owner.http.aclose()
