"""Workflow code for simulated workers: small random programs, run from history alone.

A program is the input of its workflow. `decide` looks at all events of a run and returns what
the workflow wants next, so the same history always gives the same commands.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Literal, TypeVar

import msgspec
from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

T = TypeVar("T")

StepKind = Literal[
    "activities", "attributes", "bounded_activities", "canceled_activity", "continue", "markers",
    "signals", "timers",
]  # fmt: skip
STEP_COUNT_MAX = 5
CHAIN_STEP_COUNT_MAX = 2
"""Every run of a chain of retries or cron times does all of it again."""

LASTING_FAILURE_COUNT = 20
"""So often an activity fails that only its timeout or its policy ends it."""

UNATTENDED_QUEUE = "unattended"
"""A task queue that no worker polls."""

ATTEMPT_SECONDS = 3.0
HEARTBEAT_SECONDS = 1.5


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing a program does; it goes on when that is over."""

    kind: StepKind
    seconds: float = 0.0
    count: int = 1
    failures: int = 0
    beats: int = 0
    attempts: int = 0
    """The most attempts of an activity; 0 means as many as it takes."""
    eager: bool = False
    """Whether activities ask to be started by the worker that scheduled them."""
    to_start_seconds: float = 0.0
    to_close_seconds: float = 0.0
    """The activities' schedule-to-start and schedule-to-close timeouts; 0 means none."""
    unattended: bool = False
    """Whether the activities wait where no worker looks."""


class Program(msgspec.Struct, frozen=True, omit_defaults=True):
    """Steps in order, then the end."""

    steps: list[Step]
    fails: bool = False
    failures: int = 0
    """How many runs of a chain of retries fail before one goes on to the end."""


class Work(msgspec.Struct, frozen=True):
    """The input of an activity: how its attempts go."""

    failures: int
    beats: int


def draw_program(
    rng: random.Random, features: Iterable[str], *, step_count_max: int = STEP_COUNT_MAX
) -> Program:
    """A program of the kinds of steps that the features allow."""
    kinds: list[StepKind] = ["timers"]
    allowed: tuple[StepKind, ...] = (
        "activities", "attributes", "canceled_activity", "continue", "markers", "signals",
    )  # fmt: skip
    kinds += [kind for kind in allowed if kind in features]
    if "activity_timeouts" in features:
        kinds.append("bounded_activities")
    steps = [
        _draw_step(rng, rng.choice(kinds), may_be_eager="eager" in features)
        for _ in range(rng.randint(1, step_count_max))
    ]
    return Program(steps, fails=rng.random() < 0.1)


def _draw_step(rng: random.Random, kind: StepKind, *, may_be_eager: bool) -> Step:
    step = Step(
        kind=kind,
        seconds=round(rng.choice((0.05, 0.5, 2.0, 8.0, 25.0)) * (0.5 + rng.random()), 3),
        count=rng.choice((1, 1, 2, 4)),
        failures=rng.choice((0, 0, 1, 3)),
        beats=rng.choice((0, 0, 1, 3)),
        attempts=rng.choice((0, 0, 1, 3)),
        eager=may_be_eager and rng.random() < 0.5,
    )
    if kind != "bounded_activities":
        return step
    return msgspec.structs.replace(
        step,
        failures=rng.choice((0, 1, LASTING_FAILURE_COUNT)),
        attempts=rng.choice((0, 0, 3)),
        to_start_seconds=rng.choice((0.0, 0.3, 1.0, 4.0)),
        to_close_seconds=round(rng.uniform(0.5, 8), 3),
        unattended=rng.random() < 0.4,
    )


def payloads(value: object) -> Payloads:
    return Payloads(payloads=[payload(value)])


def payload(value: object) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=msgspec.json.encode(value))


def read(of: Payloads, kind: type[T]) -> T:
    return msgspec.json.decode(of.payloads[0].data, type=kind)


class Seen:
    """What a run's events say to its program."""

    def __init__(self, events: Iterable[HistoryEvent]) -> None:
        self.program = Program([])
        self.task_queue = ""
        self.workflow_type = ""
        self.attempt = 1
        self.scheduled: dict[str, int] = {}
        self.ended: set[int] = set()
        self.cancel_asked: set[int] = set()
        self.timers: set[str] = set()
        self.fired: dict[str, int] = {}
        self.timers_canceled: set[str] = set()
        self.signals: list[tuple[int, str]] = []
        self.markers: set[str] = set()
        self.attributes: set[str] = set()
        self.cancel_requested = False
        for event in events:
            name = event.WhichOneof("attributes") or ""
            see = getattr(self, "_" + name.removesuffix("_event_attributes"), None)
            if see is not None:
                see(event, getattr(event, name))

    def _workflow_execution_started(self, event: HistoryEvent, a: object) -> None:
        started = event.workflow_execution_started_event_attributes
        self.program = read(started.input, Program)
        self.task_queue = started.task_queue.name
        self.workflow_type = started.workflow_type.name
        self.attempt = started.attempt

    def _activity_task_scheduled(self, event: HistoryEvent, a: object) -> None:
        activity_id = event.activity_task_scheduled_event_attributes.activity_id
        self.scheduled[activity_id] = event.event_id

    def _activity_task_completed(self, event: HistoryEvent, a: object) -> None:
        self.ended.add(getattr(a, "scheduled_event_id"))  # noqa: B009

    _activity_task_failed = _activity_task_completed
    _activity_task_timed_out = _activity_task_completed
    _activity_task_canceled = _activity_task_completed

    def _activity_task_cancel_requested(self, event: HistoryEvent, a: object) -> None:
        a = event.activity_task_cancel_requested_event_attributes
        self.cancel_asked.add(a.scheduled_event_id)

    def _timer_started(self, event: HistoryEvent, a: object) -> None:
        self.timers.add(event.timer_started_event_attributes.timer_id)

    def _timer_fired(self, event: HistoryEvent, a: object) -> None:
        self.fired[event.timer_fired_event_attributes.timer_id] = event.event_id

    def _timer_canceled(self, event: HistoryEvent, a: object) -> None:
        self.timers_canceled.add(event.timer_canceled_event_attributes.timer_id)

    def _workflow_execution_signaled(self, event: HistoryEvent, a: object) -> None:
        signal = event.workflow_execution_signaled_event_attributes
        self.signals.append((event.event_id, signal.request_id))

    def _workflow_execution_cancel_requested(self, event: HistoryEvent, a: object) -> None:
        self.cancel_requested = True

    def _marker_recorded(self, event: HistoryEvent, a: object) -> None:
        self.markers.add(event.marker_recorded_event_attributes.marker_name)

    def _workflow_properties_modified(self, event: HistoryEvent, a: object) -> None:
        modified = event.workflow_properties_modified_event_attributes
        self.attributes.update(modified.upserted_memo.fields)


def decide(events: Iterable[HistoryEvent]) -> list[Command]:
    """What the workflow of these events wants to happen next."""
    return _Decision(Seen(events)).commands


class _Decision:
    """One pass over the program; each step says whether it is over."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.commands: list[Command] = []
        self._signals_used = 0
        if seen.cancel_requested:
            self._ask(
                "CANCEL_WORKFLOW_EXECUTION"
            ).cancel_workflow_execution_command_attributes.SetInParent()
            return
        for index, step in enumerate(seen.program.steps):
            if not getattr(self, f"_{step.kind}")(index, step):
                return
        self._end()

    def _ask(self, command_type: str) -> Command:
        command = Command(command_type=CommandType.Value(f"COMMAND_TYPE_{command_type}"))
        self.commands.append(command)
        return self.commands[-1]

    def _end(self) -> None:
        program = self.seen.program
        if program.fails or self.seen.attempt <= program.failures:
            failed = self._ask("FAIL_WORKFLOW_EXECUTION").fail_workflow_execution_command_attributes
            failed.failure.CopyFrom(Failure(message="the program ends so"))
            return
        done = self._ask("COMPLETE_WORKFLOW_EXECUTION")
        result = payloads([request_id for _, request_id in self.seen.signals])
        done.complete_workflow_execution_command_attributes.result.CopyFrom(result)

    def _activities(self, index: int, step: Step) -> bool:
        ids = [f"{index}.{number}" for number in range(step.count)]
        for activity_id in ids:
            if activity_id not in self.seen.scheduled:
                self._schedule(activity_id, step)
        return all(self.seen.scheduled.get(id_, 0) in self.seen.ended for id_ in ids)

    def _schedule(self, activity_id: str, step: Step) -> None:
        a = self._ask("SCHEDULE_ACTIVITY_TASK").schedule_activity_task_command_attributes
        a.activity_id = activity_id
        a.activity_type.name = "work"
        a.task_queue.name = UNATTENDED_QUEUE if step.unattended else self.seen.task_queue
        a.input.CopyFrom(payloads(Work(step.failures, step.beats)))
        if step.to_start_seconds:
            a.schedule_to_start_timeout.CopyFrom(duration(step.to_start_seconds))
        if step.to_close_seconds:
            a.schedule_to_close_timeout.CopyFrom(duration(step.to_close_seconds))
        a.start_to_close_timeout.CopyFrom(duration(ATTEMPT_SECONDS))
        if step.beats:
            a.heartbeat_timeout.CopyFrom(duration(HEARTBEAT_SECONDS))
        a.retry_policy.initial_interval.CopyFrom(duration(0.2))
        a.retry_policy.maximum_interval.CopyFrom(duration(2.0))
        a.retry_policy.maximum_attempts = step.attempts
        a.request_eager_execution = step.eager

    _bounded_activities = _activities

    def _canceled_activity(self, index: int, step: Step) -> bool:
        """Starts an activity and asks for its cancellation when a timer fires."""
        activity_id = f"{index}.0"
        is_timer_over = self._timer(index, step)
        if activity_id not in self.seen.scheduled:
            self._schedule(activity_id, step)
            return False
        scheduled = self.seen.scheduled[activity_id]
        if scheduled in self.seen.ended:
            if not is_timer_over:
                self._cancel_timer(f"{index}")
            return True
        if is_timer_over and scheduled not in self.seen.cancel_asked:
            a = self._ask("REQUEST_CANCEL_ACTIVITY_TASK")
            a.request_cancel_activity_task_command_attributes.scheduled_event_id = scheduled
        return False

    def _timers(self, index: int, step: Step) -> bool:
        return self._timer(index, step)

    def _timer(self, index: int, step: Step) -> bool:
        timer_id = f"{index}"
        if timer_id not in self.seen.timers:
            a = self._ask("START_TIMER").start_timer_command_attributes
            a.timer_id = timer_id
            a.start_to_fire_timeout.CopyFrom(duration(step.seconds))
        return timer_id in self.seen.fired or timer_id in self.seen.timers_canceled

    def _cancel_timer(self, timer_id: str) -> None:
        self._ask("CANCEL_TIMER").cancel_timer_command_attributes.timer_id = timer_id

    def _signals(self, index: int, step: Step) -> bool:
        """Waits for some signals, but not longer than a timer; the earlier event decides."""
        needed = self._signals_used + step.count
        timer_id = f"{index}"
        fired = self.seen.fired.get(timer_id)
        came = self.seen.signals[needed - 1][0] if len(self.seen.signals) >= needed else None
        if came is not None and (fired is None or came < fired):
            self._signals_used = needed
            is_waiting = timer_id in self.seen.timers and fired is None
            if is_waiting and timer_id not in self.seen.timers_canceled:
                self._cancel_timer(timer_id)
            return True
        return self._timer(index, step)

    def _markers(self, index: int, step: Step) -> bool:
        names = [f"{index}.{number}" for number in range(step.count)]
        for name in names:
            if name not in self.seen.markers:
                self._ask("RECORD_MARKER").record_marker_command_attributes.marker_name = name
        return True

    def _attributes(self, index: int, step: Step) -> bool:
        if f"{index}" not in self.seen.attributes:
            modified = self._ask("MODIFY_WORKFLOW_PROPERTIES")
            memo = modified.modify_workflow_properties_command_attributes.upserted_memo
            memo.fields[f"{index}"].CopyFrom(payload(index))
            upserted = self._ask("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES")
            fields = upserted.upsert_workflow_search_attributes_command_attributes
            fields.search_attributes.indexed_fields["BuildIds"].CopyFrom(payload([f"{index}"]))
        return True

    def _continue(self, index: int, step: Step) -> bool:
        """Ends the run; the next one does the remaining steps."""
        a = self._ask("CONTINUE_AS_NEW_WORKFLOW_EXECUTION")
        rest = msgspec.structs.replace(
            self.seen.program, steps=self.seen.program.steps[index + 1 :]
        )
        attributes = a.continue_as_new_workflow_execution_command_attributes
        attributes.workflow_type.name = self.seen.workflow_type
        attributes.task_queue.name = self.seen.task_queue
        attributes.input.CopyFrom(payloads(rest))
        return False


def duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(int(seconds * 1_000_000_000))
    return message
