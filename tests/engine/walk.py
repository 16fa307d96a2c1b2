"""A walk: clients, workers, time and crashes do to one workflow what a seed draws for them."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from typing import Any

import temporalio.api.workflowservice.v1 as w
from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import RetryPolicy

from engine.errors import InvalidArgument, NotFound, WorkflowAlreadyStarted
from engine.history.state import RunState
from tests.engine.cell import (
    NAMESPACE_ID,
    QUEUE,
    Cell,
    cancel_activity,
    cancel_timer,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    record_marker,
    schedule_activity,
    start_timer,
    text,
    upsert_memo,
    upsert_search_attribute,
)
from tests.engine.law import check_law, check_rows, in_memory
from tests.engine.test_worker_calls import STICKY, sticky
from tests.simulation.loop import run

REFUSALS = (InvalidArgument, NotFound, WorkflowAlreadyStarted)
"""What a client or worker may be told whose request came at the wrong moment."""

SETTLE_SECONDS = 0.01
POLL_SECONDS = 0.5
COMMANDS_PER_TASK_MAX = 4


class Walk:
    """`done` are the steps that were not refused, in order."""

    def __init__(self, seed: int) -> None:
        self.done: list[str] = []
        self._rng = random.Random(seed)
        self._cell = Cell()
        self._workflow_tasks: list[Any] = []
        self._activity_tasks: list[Any] = []
        self._steps = {
            self.start: 3,
            self.signal: 8,
            self.poll: 12,
            self.complete: 20,
            self.fail: 1,
            self.poll_activity: 6,
            self.complete_activity: 5,
            self.fail_activity: 5,
            self.heartbeat: 2,
            self.request_cancel: 0.5,
            self.terminate: 0.3,
            self.let_time_pass: 5,
            self.crash: 2,
        }

    def go(self, step_count: int) -> None:
        run(self._cell.loop, self._go(step_count))
        assert not self._cell.loop.failures, self._cell.loop.failures

    async def _go(self, step_count: int) -> None:
        cell = self._cell
        await cell.open()
        await self.start()
        cell.timeout_seconds = POLL_SECONDS
        for _ in range(step_count):
            (step,) = self._rng.choices(list(self._steps), list(self._steps.values()))
            try:
                await step()
                self.done.append(step.__name__)
            except REFUSALS:
                # Often the run is closed by now, and nothing more would happen to it.
                with suppress(WorkflowAlreadyStarted):
                    await self.start()
            await asyncio.sleep(SETTLE_SECONDS)
            await check_law(cell.store, NAMESPACE_ID)
            await check_rows(cell.node, cell.store, NAMESPACE_ID)
        await cell.node.stop()

    async def start(self) -> None:
        seconds = self._rng.choice((0, 20, 60))
        fields: dict[str, Any] = {"workflow_run_timeout": Duration(seconds=seconds)}
        if self._rng.random() < 0.5:
            fields["retry_policy"] = RetryPolicy(maximum_attempts=self._rng.randrange(4))
        if self._rng.random() < 0.3:
            fields["cron_schedule"] = "@every 20s"
        await self._cell.start(**fields)

    async def signal(self) -> None:
        await self._cell.signal("paid", request_id=f"payment-{self._rng.randrange(20)}")

    async def request_cancel(self) -> None:
        await self._cell.request_cancel()

    async def terminate(self) -> None:
        await self._cell.terminate()

    async def poll(self) -> None:
        at_home = self._rng.random() < 0.6
        task = await (self._cell.poll() if at_home else self._cell.poll(STICKY, sticky_of=QUEUE))
        if task.task_token:
            self._workflow_tasks.append(task)

    async def complete(self) -> None:
        count = self._rng.randint(0, COMMANDS_PER_TASK_MAX)
        state = (await in_memory(self._cell.node, NAMESPACE_ID, "order-1")).state
        commands = [self._command(state) for _ in range(count)]
        if self._rng.random() < 0.05:
            commands.append(self._closing_command())
        task = self._some(self._workflow_tasks)
        fields: dict[str, Any] = {"force_create_new_workflow_task": not commands}
        if self._rng.random() < 0.3:
            fields["sticky_attributes"] = sticky()
        await self._cell.complete(task, *commands, **fields)

    async def fail(self) -> None:
        await self._cell.fail_workflow_task(self._some(self._workflow_tasks))

    async def poll_activity(self) -> None:
        task = await self._cell.poll_activity()
        if task.task_token:
            self._activity_tasks.append(task)

    async def complete_activity(self) -> None:
        await self._cell.complete_activity(self._some(self._activity_tasks))

    async def fail_activity(self) -> None:
        task = self._some(self._activity_tasks)
        await self._cell.fail_activity(task, non_retryable=self._rng.random() < 0.3)

    async def heartbeat(self) -> None:
        if self._activity_tasks:
            token = self._rng.choice(self._activity_tasks).task_token
            await self._cell.ask(
                w.RecordActivityTaskHeartbeatRequest(task_token=token, details=text("half"))
            )

    async def let_time_pass(self) -> None:
        await asyncio.sleep(self._rng.choice((0.3, 2, 11, 30)))

    async def crash(self) -> None:
        await self._cell.crash_and_restart()

    def _command(self, state: RunState) -> Command:
        """One that may be refused, but mostly is not."""
        rng = self._rng
        name = f"{rng.randrange(10)}"
        soon = timedelta(seconds=rng.choice((1, 5, 40)))
        return rng.choice(
            (
                schedule_activity(name, start_to_close=soon, maximum_attempts=rng.randrange(4)),
                schedule_activity(name, schedule_to_close=soon, heartbeat=soon / 2),
                schedule_activity(name, schedule_to_start=soon),
                cancel_activity(rng.choice([*state.activities] or [5])),
                start_timer(name, soon),
                cancel_timer(rng.choice([*state.timers] or [name])),
                record_marker("seen"),
                upsert_memo(**{name: rng.choice(("", "fragile"))}),
                upsert_search_attribute("TemporalChangeVersion", name),
            )
        )

    def _closing_command(self) -> Command:
        closing = (complete_workflow, fail_workflow, cancel_workflow, continue_as_new)
        return self._rng.choice(closing)()

    def _some(self, tasks: list[Any]) -> Any:
        """One of the tasks, the newest most often; it is done with, now or sometimes later."""
        if not tasks:
            raise NotFound("no such task was handed out")
        at = -1 if self._rng.random() < 0.8 else self._rng.randrange(len(tasks))
        return tasks[at] if self._rng.random() < 0.1 else tasks.pop(at)
