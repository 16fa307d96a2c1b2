"""The worker: polls, runs what comes, and ends in good order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from perdure.client import Client
from perdure.definition import Function
from perdure.exceptions import DefinitionError, RPCError
from perdure.protojson import Message
from perdure.worker.activities import ActivityTasks
from perdure.worker.polling import Outage, Slots, poll_forever
from perdure.worker.registry import activities_by_name, workflows_by_name
from perdure.worker.settings import WorkerSettings
from perdure.worker.workflows import WorkflowTasks

Handle = Callable[[Message], Coroutine[Any, Any, None]]

_logger = logging.getLogger("perdure.worker")


class Worker:
    """Runs workflows and activities of one task queue until it is shut down.

    Either ``await worker.run()``, or use it as an async context manager.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        workflows: Sequence[type] = (),
        activities: Sequence[Function] = (),
        activity_executor: Executor | None = None,
        max_cached_workflows: int = 1000,
        max_concurrent_workflow_tasks: int = 100,
        max_concurrent_activities: int = 100,
        max_concurrent_workflow_task_polls: int = 5,
        max_concurrent_activity_task_polls: int = 5,
        sticky_queue_schedule_to_start_timeout: timedelta = timedelta(seconds=10),
        graceful_shutdown_timeout: timedelta = timedelta(0),
        identity: str | None = None,
    ) -> None:
        self.settings = WorkerSettings(
            task_queue=task_queue,
            identity=identity or client.identity,
            max_cached_workflows=max_cached_workflows,
            max_concurrent_workflow_tasks=max_concurrent_workflow_tasks,
            max_concurrent_activities=max_concurrent_activities,
            max_concurrent_workflow_task_polls=max_concurrent_workflow_task_polls,
            max_concurrent_activity_task_polls=max_concurrent_activity_task_polls,
            sticky_timeout=sticky_queue_schedule_to_start_timeout,
            graceful_shutdown_timeout=graceful_shutdown_timeout,
        )
        self._calls = client.calls
        self._workflows = workflows_by_name(workflows)
        self._activities = activities_by_name(activities)
        if not self._workflows and not self._activities:
            raise DefinitionError("a worker needs at least one workflow or activity")
        self._executor = activity_executor
        self._outage = Outage()
        self._stopping: asyncio.Event | None = None
        self._running: asyncio.Task[None] | None = None
        self._owner: asyncio.Task[Any] | None = None
        self._asked_to_stop = False
        self._interrupted = False

    @property
    def task_queue(self) -> str:
        """The queue it works for."""
        return self.settings.task_queue

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not been asked to end."""
        return self._stopping is not None and not self._stopping.is_set()

    async def run(self) -> None:
        """Work until ``shutdown`` or cancellation; raises RPCError if polls stay refused."""
        if self._stopping is not None:
            raise RuntimeError("a worker runs once; make another one")
        self._stopping = asyncio.Event()
        workflow_slots = Slots(self.settings.max_concurrent_workflow_tasks)
        activity_slots = Slots(self.settings.max_concurrent_activities)
        executor = self._executor or ThreadPoolExecutor(
            self.settings.max_concurrent_activities, thread_name_prefix="perdure-activity"
        )
        workflows = WorkflowTasks(self._calls, self._workflows, self.settings)
        activities = ActivityTasks(
            self._calls,
            self._activities,
            identity=self.settings.identity,
            task_queue=self.settings.task_queue,
            executor=executor,
        )
        polls = [
            *self._workflow_polls(workflows, workflow_slots),
            *self._activity_polls(activities, activity_slots),
        ]
        _logger.info("worker_started", extra={"task_queue": self.task_queue})
        try:
            await self._until_stopped(polls)
        finally:
            self._stopping.set()
            workflows.is_stopping = True
            await self._leave(polls)
            activities.announce_shutdown()
            await _settle(workflow_slots)
            grace = self.settings.graceful_shutdown_timeout
            if not await _settle(activity_slots, grace.total_seconds()):
                activities.stop_all()
                await _settle(activity_slots)
            await workflows.close()
            if self._executor is None:
                executor.shutdown(wait=False)
            _logger.info("worker_stopped", extra={"task_queue": self.task_queue})

    async def shutdown(self) -> None:
        """Stop polling, let what runs end, and wait for that."""
        self._asked_to_stop = True
        if self._stopping is not None:
            self._stopping.set()
        if self._running is not None:
            await self._running

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        self._running = asyncio.create_task(self.run())
        self._running.add_done_callback(self._interrupt_owner)
        # One turn of the loop, so that run has begun when the body of the context does.
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.shutdown()
        finally:
            if self._interrupted and self._owner is not None:
                self._owner.uncancel()

    def _interrupt_owner(self, running: asyncio.Task[None]) -> None:
        # A worker that gave up leaves nobody to do what the body of the context waits for.
        if not running.cancelled() and running.exception() is not None and not self._asked_to_stop:
            self._interrupted = True
            assert self._owner is not None
            self._owner.cancel()

    def _workflow_polls(self, tasks: WorkflowTasks, slots: Slots) -> list[asyncio.Task[None]]:
        if not self._workflows:
            return []
        count = self.settings.max_concurrent_workflow_task_polls
        sticky_count = (count + 1) // 2 if self.settings.max_cached_workflows else 0
        normal, sticky = self.settings.normal_task_queue, self.settings.sticky_task_queue
        queues = [sticky] * sticky_count + [normal] * (count - sticky_count)
        verb = "poll-workflow-task"
        return [self._poll(queue, verb, tasks.handle, slots) for queue in queues]

    def _activity_polls(self, tasks: ActivityTasks, slots: Slots) -> list[asyncio.Task[None]]:
        if not self._activities:
            return []
        queue = self.settings.normal_task_queue
        count = self.settings.max_concurrent_activity_task_polls
        return [self._poll(queue, "poll-activity-task", tasks.handle, slots) for _ in range(count)]

    def _poll(self, queue: Message, verb: str, handle: Handle, slots: Slots) -> asyncio.Task[None]:
        body = {"taskQueue": queue, "identity": self.settings.identity}
        poll = partial(self._calls.poll, queue["name"], verb, body)
        sleep = self._calls.transport.sleep
        return asyncio.create_task(poll_forever(poll, handle, slots, sleep, self._outage))

    async def _until_stopped(self, polls: Sequence[asyncio.Task[None]]) -> None:
        assert self._stopping is not None
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({stopped, *polls}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        for poll in polls:
            if poll.done():
                poll.result()

    async def _leave(self, polls: Sequence[asyncio.Task[None]]) -> None:
        """Take back the polls, and tell the server not to keep work for this worker's cache."""
        for poll in polls:
            poll.cancel()
        await asyncio.wait(polls)
        if not self._workflows or not self.settings.max_cached_workflows:
            return
        body = {
            "stickyTaskQueue": self.settings.sticky_task_queue["name"],
            "identity": self.settings.identity,
            "reason": "shutdown",
        }
        try:
            await self._calls.post("workers", "shutdown", body=body, retry_seconds=0)
        except RPCError as error:
            # Without it the server finds out by itself, some seconds later.
            _logger.info("worker_shutdown_unannounced", extra={"status": error.status.name})


async def _settle(slots: Slots, limit_seconds: float | None = None) -> bool:
    """Wait for the running tasks; false if some still run when the time is up."""
    if not slots.tasks:
        return True
    _, pending = await asyncio.wait(set(slots.tasks), timeout=limit_seconds)
    return not pending
