"""kill -9 at any moment: what was acknowledged is true, and what was begun is finished."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as w
from temporalio.api.history.v1 import HistoryEvent

from perdure.recount import Recount, recount
from tests.engine.cell import complete_workflow, names, schedule_activity
from tests.product.client import open_account, program
from tests.product.orders import (
    ACTIVITY_COMPLETED,
    Caller,
    Orders,
    payloads,
    signals_of,
)
from tests.product.server import Preloaded, Product, serving

KILLS = 10
SEEDS = (1, 2, 3)
SEEDS_OF_CI = tuple(range(4, 11))
ANSWERS_BEFORE_KILL_MAX = 250
MOMENT_SECONDS_MAX = 0.03
STARTING_SECONDS_MAX = 0.6
KILLED_WHILE_STARTING = 0.25
RUN_SECONDS_MAX = 240
COLLECT_SECONDS_MAX = 60
LOOK_AGAIN_SECONDS = 0.5
PATIENCE = timedelta(minutes=10)
CLOSING = "WorkflowExecutionCompleted"


@pytest.mark.parametrize(
    "seed", [*SEEDS, *(pytest.param(seed, marks=pytest.mark.ci) for seed in SEEDS_OF_CI)]
)
async def test_a_killed_server_keeps_every_promise(
    preloaded: Preloaded, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    async with serving(preloaded, tmp_path / "data") as product:
        access = await open_account(product)
        shop = program(product, access)
        caller = Caller(product, shop)
        orders = Orders(caller, rng)
        async with shop.http, aclosing(access.owner.http), asyncio.timeout(RUN_SECONDS_MAX):
            async with asyncio.TaskGroup() as group:
                orders.begin(group)
                await kill_often(product, caller, rng)
                await orders.end()
            assert product.kill_count >= KILLS
            for workflow_id in caller.promises.run_ids:
                await check_order(orders, workflow_id)
            outcome = await settled_recount(caller)
        assert outcome.differences == ()
        assert outcome.recounted > len(caller.promises.run_ids)


async def kill_often(product: Product, caller: Caller, rng: random.Random) -> None:
    """Kill while orders are worked on, and sometimes while the next server is starting.

    At each kill one activity is running; its worker completes it with the token it has.
    """
    while product.kill_count < KILLS:
        patient = Patient(caller, product.kill_count)
        token = await patient.take_activity()
        await caller.answered(rng.randint(1, ANSWERS_BEFORE_KILL_MAX))
        # Just behind an answer the store is often at rest; any other moment is as good a moment.
        await asyncio.sleep(rng.uniform(0, MOMENT_SECONDS_MAX))
        product.kill()
        while rng.random() < KILLED_WHILE_STARTING:
            product.launch()
            await asyncio.sleep(rng.uniform(0, STARTING_SECONDS_MAX))
            product.kill()
        await product.start()
        await patient.finish(token)


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


async def settled_recount(caller: Caller) -> Recount:
    """The recount once usage has been collected; if that does not come to pass, the last one."""

    async def get(path: str, params: Mapping[str, str]) -> Any:
        answer = await caller.program.http.get(path, params=dict(params))
        assert answer.is_success, answer.text
        return answer.json()

    looks_left = int(COLLECT_SECONDS_MAX / LOOK_AGAIN_SECONDS)
    while True:
        outcome = await recount(get, caller.program.namespace)
        looks_left -= 1
        if not outcome.differences or not looks_left:
            return outcome
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
