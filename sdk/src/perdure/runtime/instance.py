"""One live run: workflow code on its own loop, fed with history, giving commands.

Feeding a whole history and feeding it piece by piece take the same path, so a cached instance and a
rebuilt one are the same.
"""

from __future__ import annotations

import asyncio
import collections
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from hashlib import sha256

from perdure.converter import DataConverter
from perdure.definition import WorkflowDefinition
from perdure.exceptions import NondeterminismError, PerdureError, ReadOnlyContextError
from perdure.protojson import Message, duration_text, parse_time
from perdure.runtime import outcome
from perdure.runtime.activities import ActivityHandle
from perdure.runtime.commands import (
    CANCEL_TIMER,
    COMMAND_EVENT_TYPES,
    RECORD_MARKER,
    SCHEDULE_ACTIVITY,
    START_TIMER,
    Command,
    CommandMatcher,
    event_attributes,
    event_kind,
    patch_of,
)
from perdure.runtime.handlers import Handlers
from perdure.runtime.loop import WorkflowLoop
from perdure.runtime.run import WorkflowInfo

_ACTIVITY_CLOSED = frozenset(
    f"ACTIVITY_TASK_{how}" for how in ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELED")
)
_SILENT = frozenset(
    {
        "WORKFLOW_TASK_SCHEDULED",
        "ACTIVITY_TASK_STARTED",
        "WORKFLOW_EXECUTION_TERMINATED",
        "WORKFLOW_EXECUTION_TIMED_OUT",
        "WORKFLOW_EXECUTION_OPTIONS_UPDATED",
        "WORKFLOW_EXECUTION_PAUSED",
        "WORKFLOW_EXECUTION_UNPAUSED",
        "WORKFLOW_EXECUTION_UPDATE_ADMITTED",
        "WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED",
    }
)
_JOBS = _ACTIVITY_CLOSED | {
    "WORKFLOW_EXECUTION_STARTED",
    "WORKFLOW_EXECUTION_SIGNALED",
    "WORKFLOW_EXECUTION_CANCEL_REQUESTED",
    "TIMER_FIRED",
}
_EVICTION_ROUNDS_MAX = 10


class WorkflowInstance:
    """A run of one workflow definition; used by one thread at a time."""

    def __init__(
        self, definition: WorkflowDefinition, run: WorkflowInfo, converter: DataConverter
    ) -> None:
        self.definition = definition
        self.run = run
        self.converter = converter
        self.loop: WorkflowLoop = WorkflowLoop(self)  # type: ignore[abstract]
        self.handlers = Handlers(self)
        self.activities: dict[Command | None, ActivityHandle] = {}
        """Activities whose schedule command history has not confirmed yet."""
        self.conditions: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self.patches: dict[str, bool] = {}
        self.memo: dict[str, Message] = {}
        self.search_attribute_fields: dict[str, Message] = {}
        self.started_attributes: Message = {}
        self.random = random.Random()  # noqa: S311 - repeatable at replay, not secret.
        self.evicting = False
        self.closed = False
        self.cancel_requested = False
        self.replaying = True
        self.read_only = False
        self.unguarded = False
        self.last_event_id = 0
        self.last_started_event_id = 0
        self.activation_count = 0
        self.task_error: BaseException | None = None
        self._scheduled: dict[int, ActivityHandle] = {}
        self._patches_in_history: set[str] = set()
        self._timers: dict[str, Callable[[], None]] = {}
        self._counters: collections.Counter[str] = collections.Counter()
        self._commands: list[Command] = []
        self._matcher = CommandMatcher()
        self._jobs: list[Message] = []
        self._task_started: Message | None = None
        self._main: asyncio.Task[None] | None = None

    # Feeding history

    def feed(self, events: Sequence[Message], started_event_id: int) -> list[Message]:
        """Take new events and return the commands of the task that started with the given event.

        Events seen before are skipped. With started_event_id 0 (a query on its own) nothing new
        runs. Raises NondeterminismError, or what workflow code raised when that fails the task.
        """
        for event in events:
            if event_kind(event) == RECORD_MARKER.event_type:
                patch = patch_of(event_attributes(event))
                if patch is not None:
                    self._patches_in_history.add(patch[0])
        for event in events:
            event_id = int(event.get("eventId", 0))
            if event_id <= self.last_event_id:
                continue
            if event_id != self.last_event_id + 1:
                raise NondeterminismError(
                    f"history jumps from event {self.last_event_id} to {event_id}", event_id
                )
            self.last_event_id = event_id
            self._take(event, event_id)
        if not started_event_id:
            return []
        started = self._task_started
        if started is None or int(started["eventId"]) != started_event_id:
            raise NondeterminismError(
                f"history ends with event {self.last_event_id}, "
                f"before the workflow task that started with event {started_event_id}",
                self.last_event_id,
            )
        return [command.to_message() for command in self._activate(started, replaying=False)]

    def finish_replay(self) -> None:
        """Check that a whole history leaves no command over; raises NondeterminismError."""
        self._matcher.finish(self.last_event_id + 1)

    def _take(self, event: Message, event_id: int) -> None:
        kind = event_kind(event)
        if kind in COMMAND_EVENT_TYPES:
            command = self._matcher.match(event)
            if command in self.activities:
                self._scheduled[event_id] = self.activities.pop(command)
        elif kind == "WORKFLOW_TASK_STARTED":
            self._matcher.finish(event_id)
            self._task_started = event
        elif kind == "WORKFLOW_TASK_COMPLETED":
            # A live instance has run this task before it was completed.
            if self._task_started is not None:
                self._activate(self._task_started, replaying=True)
        elif kind in ("WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT"):
            self._task_started = None
        elif kind in _JOBS:
            self._jobs.append(event)
        elif kind not in _SILENT and not event.get("workerMayIgnore"):
            raise NondeterminismError(
                f"history event {event_id} is {kind}, which this worker does not know", event_id
            )

    def _activate(self, started: Message, *, replaying: bool) -> list[Command]:
        """Run workflow code for one workflow task and return its commands."""
        jobs, self._jobs = self._jobs, []
        self._task_started = None
        self.activation_count += 1
        self.replaying = replaying
        self.last_started_event_id = int(started["eventId"])
        self.run.on_task_started(self.last_started_event_id, event_attributes(started))
        moment = parse_time(started.get("eventTime"))
        if moment is not None:
            self.loop.set_time(moment.timestamp())
        if not self.closed:
            with self.loop.entered():
                self._run_jobs(jobs)
        if self.task_error is not None:
            raise self.task_error
        commands, self._commands = self._commands, []
        self._matcher.expect(commands)
        return commands

    def _run_jobs(self, jobs: list[Message]) -> None:
        first = next((job for job in jobs if event_kind(job) == "WORKFLOW_EXECUTION_STARTED"), None)
        if first is not None:
            self._create(first)
        # Signals go first, so that a run started by a signal sees it from its first line.
        for job in jobs:
            if event_kind(job) == "WORKFLOW_EXECUTION_SIGNALED":
                self.handlers.on_signal(event_attributes(job))
        if first is not None:
            self._main = self.loop.create_task(self._run_main(), name="run")
        self._settle()
        for job in jobs:
            kind, attributes = event_kind(job), event_attributes(job)
            if kind == "TIMER_FIRED":
                fire = self._timers.pop(attributes.get("timerId", ""), None)
                if fire is not None:
                    fire()
            elif kind in _ACTIVITY_CLOSED:
                handle = self._scheduled.pop(int(attributes.get("scheduledEventId", 0)), None)
                if handle is not None:
                    handle.resolve(kind, attributes)
            elif kind == "WORKFLOW_EXECUTION_CANCEL_REQUESTED":
                self.cancel_requested = True
                if self._main is not None:
                    self._main.cancel()
        self._settle()

    def _create(self, event: Message) -> None:
        attributes = self.started_attributes = event_attributes(event)
        self.run.on_started(attributes, parse_time(event.get("eventTime")))
        self.memo = dict(attributes.get("memo", {}).get("fields", {}))
        fields = attributes.get("searchAttributes", {}).get("indexedFields", {})
        self.search_attribute_fields = dict(fields)
        # A reset run repeats the prefix of the original run, so it must draw the same numbers.
        seed = attributes.get("originalExecutionRunId") or self.run.run_id
        self.random.seed(int.from_bytes(sha256(seed.encode()).digest()[:8]))
        self.handlers.bind(self.definition.cls())

    async def _run_main(self) -> None:
        arguments = self.converter.payload_converter.from_payloads(
            self.started_attributes.get("input"), self.definition.argument_hints
        )
        result = await self.definition.run(self.handlers.target, *arguments)
        outcome.complete(self, result)

    def _settle(self) -> None:
        """Run until nothing is ready and no wait condition has become true."""
        self.loop.drain()
        while self.task_error is None and self._check_conditions():
            self.loop.drain()
        main = self._main
        if main is not None and main.done() and not self.closed and self.task_error is None:
            error = asyncio.CancelledError() if main.cancelled() else main.exception()
            if error is not None:
                outcome.settle_error(self, error)

    def _check_conditions(self) -> bool:
        progress = False
        for future, condition in list(self.conditions.items()):
            if future.done():
                continue
            self.read_only = True
            try:
                satisfied = condition()
            except Exception as error:
                future.set_exception(error)
                progress = True
            else:
                if satisfied:
                    future.set_result(None)
                    progress = True
            finally:
                self.read_only = False
        return progress

    # What workflow code asks for

    def add_command(self, command: Command) -> None:
        """Give a command; nothing counts any more once the run is closed or evicted."""
        self.check_writable()
        if not self.closed and not self.evicting:
            self._commands.append(command)
            self.closed = command.kind.closes

    def check_writable(self) -> None:
        """Raise ReadOnlyContextError inside a query handler or a wait condition."""
        if self.read_only:
            raise ReadOnlyContextError("queries and wait conditions must not change the workflow")

    def withdraw(self, command: Command) -> bool:
        """Take back a command of the current task; False if it has left already."""
        if command not in self._commands:
            return False
        self._commands.remove(command)
        if command.kind is SCHEDULE_ACTIVITY:
            self.activities.pop(command, None)
        return True

    def next_id(self, kind: str) -> str:
        """The next id of an activity or timer: 1, 2, 3 … for each kind."""
        self._counters[kind] += 1
        return str(self._counters[kind])

    def start_timer(
        self, delay: timedelta, fire: Callable[[], None], summary: str | None = None
    ) -> Callable[[], None]:
        """Start a durable timer; the returned call cancels it unless it has fired."""
        timer_id = self.next_id("timer")
        fields = {"timerId": timer_id, "startToFireTimeout": duration_text(delay)}
        note = None if summary is None else self.converter.payload_converter.to_payload(summary)
        command = Command(START_TIMER, fields, note)
        self.add_command(command)
        self._timers[timer_id] = fire

        def stop() -> None:
            if self._timers.pop(timer_id, None) is not None and not self.withdraw(command):
                self.add_command(Command(CANCEL_TIMER, {"timerId": timer_id}))

        return stop

    def patched_in_history(self, patch_id: str) -> bool:
        """Whether history holds the patch's marker, or the code runs for the first time."""
        return not self.replaying or patch_id in self._patches_in_history

    def fail_task(self, error: BaseException) -> None:
        """Fail the workflow task with this error; the first one is reported."""
        if self.task_error is None and not self.evicting:
            self.task_error = error

    # Other uses

    def query(self, name: str, arguments: Message | None) -> Message:
        """The answer of a query handler as payloads; raises what the handler raises."""
        if self.handlers.target is None:
            raise PerdureError("the workflow has not begun to run")
        with self.loop.entered():
            self.read_only = True
            try:
                return self.handlers.answer(name, arguments)
            finally:
                self.read_only = False

    def evict(self) -> None:
        """Cancel what still runs, so that clean-up code runs here and never in a collector."""
        self.evicting = True
        with self.loop.entered():
            for _ in range(_EVICTION_ROUNDS_MAX):
                for task in list(self.loop.tasks):
                    task.cancel()
                self.loop.drain()
                if not self.loop.tasks:
                    return
        for task in self.loop.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
