"""Orders under way while something is killed, and what was acknowledged held against the rest."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import temporalio.api.workflowservice.v1 as w
from temporalio.api.history.v1 import HistoryEvent

from perdure.recount import Recount, recount
from tests.engine.cell import complete_workflow, names, schedule_activity
from tests.product.client import Access, Program, program
from tests.product.orders import ACTIVITY_COMPLETED, Caller, Orders, payloads, signals_of
from tests.product.server import Product

ANSWERS_BEFORE_KILL_MAX = 250
MOMENT_SECONDS_MAX = 0.03
COLLECT_SECONDS_MAX = 60
LOOK_AGAIN_SECONDS = 0.5
DATABASE_SECONDS_MAX = 60
LOOK_FOR_DATABASE_SECONDS = 0.02
PATIENCE = timedelta(minutes=10)
CLOSING = "WorkflowExecutionCompleted"

WORKER_REFUSED = ("poll_failed", "workflow_task_refused", "activity_task_refused")
"""What a worker with our client library warns of, that of the control plane too: it goes on."""

DATABASE_AWAY = (
    "postgres_ended",
    "store_failed",
    "upkeep_failed",
    "snapshot_refresh_failed",
    "database_gave_up",
)
"""What a server may warn of while its database is away."""

PART_AWAY = ("snapshot_not_fed", "upkeep_failed")
"""What a part may warn of while another one is away."""


@asynccontextmanager
async def orders_under_way(
    product: Product, access: Access, rng: random.Random, seconds_max: int
) -> AsyncIterator[Caller]:
    """While it lasts. Then each is ended, and all that was acknowledged must be true."""
    shop = program(product, access)
    orders = Orders(Caller(product, shop), rng)
    async with shop.http, aclosing(access.owner.http), asyncio.timeout(seconds_max):
        async with asyncio.TaskGroup() as group:
            orders.begin(group)
            yield orders.caller
            await orders.end()
        await check_promises(orders)


async def kill_at_any_moment(
    caller: Caller, rng: random.Random, number: int, kill: Callable[[], Awaitable[None]]
) -> None:
    """While an activity runs; its worker completes it afterwards, with the token that it has."""
    patient = Patient(caller, number)
    token = await patient.take_activity()
    await caller.answered(rng.randint(1, ANSWERS_BEFORE_KILL_MAX))
    # Just behind an answer the store is often at rest; any other moment is as good a moment.
    await asyncio.sleep(rng.uniform(0, MOMENT_SECONDS_MAX))
    await kill()
    await patient.finish(token)


async def check_promises(orders: Orders) -> None:
    """In the histories is what was acknowledged, and in the ledger what the histories say."""
    for workflow_id in orders.promises.run_ids:
        await check_order(orders, workflow_id)
    outcome = await settled_recount(orders.caller.program)
    assert outcome.differences == ()
    assert outcome.recounted > len(orders.promises.run_ids)


class Patient:
    """A workflow whose one activity, of one attempt, outlives a server."""

    def __init__(self, caller: Caller, number: int) -> None:
        self._caller = caller
        self._workflow_id = f"patient-{number}"

    async def take_activity(self) -> bytes:
        """The token of the running activity."""
        start = w.StartWorkflowExecutionRequest(workflow_id=self._workflow_id)
        start.workflow_type.name, start.task_queue.name = "Patient", self._workflow_id
        await self._caller.ask(start)
        command = schedule_activity(maximum_attempts=1, start_to_close=PATIENCE)
        attributes = command.schedule_activity_task_command_attributes
        attributes.task_queue.name = self._workflow_id
        await self._complete_task(command)
        poll = w.PollActivityTaskQueueRequest(identity="patient")
        poll.task_queue.name = self._workflow_id
        token: bytes = (await self._caller.ask(poll)).task_token
        return token

    async def finish(self, token: bytes) -> None:
        result = payloads(self._workflow_id)
        await self._caller.ask(
            w.RespondActivityTaskCompletedRequest(task_token=token, result=result)
        )
        await self._complete_task(complete_workflow())
        events = await self._caller.program.history(self._workflow_id)
        results = [
            event.activity_task_completed_event_attributes.result
            for event in events
            if event.event_type == ACTIVITY_COMPLETED
        ]
        assert results == [result]
        assert names(events)[-1] == CLOSING

    async def _complete_task(self, command: Any) -> None:
        poll = w.PollWorkflowTaskQueueRequest(identity="patient")
        poll.task_queue.name = self._workflow_id
        task = await self._caller.ask(poll)
        await self._caller.ask(
            w.RespondWorkflowTaskCompletedRequest(task_token=task.task_token, commands=[command])
        )


async def check_order(orders: Orders, workflow_id: str) -> None:
    """Hold one order's history against what was acknowledged."""
    promises = orders.promises
    run_id = promises.run_ids[workflow_id]
    events = await orders.caller.program.history(workflow_id, run_id)
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    assert [name for name in names(events) if name.startswith("WorkflowExecution")][-1] == CLOSING
    assert names(events).count(CLOSING) == 1
    signals = {signal for id, signal in promises.signals if id == workflow_id}
    assert Counter(signals_of(events)) == Counter(signals)
    assert orders.results[workflow_id] == sorted(signals)
    results = activity_results(events)
    assert all(len(each) == 1 for each in results.values()), results
    for (run, activity_id), promised in promises.activities.items():
        if run == run_id:
            assert results[activity_id] == [promised]
    completed = {
        event.workflow_task_completed_event_attributes.started_event_id
        for event in events
        if event.HasField("workflow_task_completed_event_attributes")
    }
    assert {event_id for run, event_id in promises.workflow_tasks if run == run_id} <= completed


def activity_results(events: list[HistoryEvent]) -> dict[str, list[str]]:
    """The results recorded for each activity that was scheduled."""
    ids = {
        event.event_id: event.activity_task_scheduled_event_attributes.activity_id
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
    }
    results: dict[str, list[str]] = {activity_id: [] for activity_id in ids.values()}
    for event in events:
        if event.event_type == ACTIVITY_COMPLETED:
            attributes = event.activity_task_completed_event_attributes
            result = attributes.result.payloads[0].data.decode().strip('"')
            results[ids[attributes.scheduled_event_id]].append(result)
    return results


async def settled_recount(shop: Program) -> Recount:
    """The recount once usage has been collected; if that does not come to pass, the last one."""

    async def get(path: str, params: Mapping[str, str]) -> Any:
        answer = await shop.http.get(path, params=dict(params))
        assert answer.is_success, answer.text
        return answer.json()

    looks_left = int(COLLECT_SECONDS_MAX / LOOK_AGAIN_SECONDS)
    while True:
        outcome = await recount(get, shop.namespace)
        looks_left -= 1
        if not outcome.differences or not looks_left:
            return outcome
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def database_process(data: Path) -> int:
    """The process of an installation's own PostgreSQL."""
    return int((data / "postgres" / "data" / "postmaster.pid").read_text().split()[0])


async def kill_database(data: Path) -> None:
    """kill -9, and wait for its successor: a server may still call itself ready meanwhile."""
    killed = database_process(data)
    os.kill(killed, signal.SIGKILL)
    async with asyncio.timeout(DATABASE_SECONDS_MAX):
        while True:
            # For a moment there is no such file, or an empty one.
            with suppress(FileNotFoundError, IndexError):
                if database_process(data) != killed:
                    return
            await asyncio.sleep(LOOK_FOR_DATABASE_SECONDS)


def end_database(data: Path) -> None:
    """If there is one. It ends with the server by itself, but its folder may only go after it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        descriptor = os.pidfd_open(database_process(data))
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)
