"""One decision about a run: the events it appends, the effects it asks for, the facts it counts.

Deciding code reads the state and calls `append`; only the functions in `events/` change what
follows from history. A transition is committed whole or undone whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from google.protobuf.message import Message
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes, HistoryEvent
from temporalio.api.sdk.v1 import UserMetadata

from engine.history.events import EVENTS
from engine.history.protobuf import event_size_prefixed, set_timestamp, timestamp_ns
from engine.history.state import RunState
from engine.metering.facts import COUNTED_PER_RUN, NANOSECONDS_PER_HOUR, Fact, FactKind


class OfferWorkflowTask(NamedTuple):
    """The scheduled workflow task looks for a worker."""

    scheduled_event_id: int


class OfferActivityTask(NamedTuple):
    """An attempt of an activity looks for a worker."""

    scheduled_event_id: int
    attempt: int
    scheduled: ActivityTaskScheduledEventAttributes | None = None
    """The scheduled event, where it was written just now."""


class StartRun(NamedTuple):
    """The next run of the same workflow id begins in the same commit."""

    run_id: str
    begin: Callable[[Transition], None]


Effect = OfferWorkflowTask | OfferActivityTask | StartRun


class AttemptEnd(NamedTuple):
    """An attempt of an activity is over. Nothing follows from it: it is for who counts.

    `attempt_ns` is how long a worker had it, None where none did; `activity_ns` how long it is
    since the activity was scheduled, None while that goes on.
    """

    outcome: Literal["success", "fail", "timeout", "cancel"]
    timeout_type: str
    workflow_type: str
    activity_type: str
    task_queue: str
    attempt_ns: int | None
    activity_ns: int | None


class Transition:
    """A change under way. `now_ns` is its time; event times of a run never go back."""

    __slots__ = (
        "_deferred",
        "attempt_ends",
        "batch",
        "effects",
        "facts",
        "next_run_id",
        "now_ns",
        "state",
    )

    def __init__(self, state: RunState, now_ns: int, next_run_id: Callable[[], str]) -> None:
        self.state = state
        self.next_run_id = next_run_id
        self.now_ns = max(now_ns, state.run.last_event_at_ns)
        self.batch: list[bytes] = []
        self.effects: list[Effect] = []
        self.facts: list[Fact] = []
        self.attempt_ends: list[AttemptEnd] = []
        self._deferred: list[Message] = []

    def append(
        self,
        attributes: Message,
        *,
        metadata: UserMetadata | None = None,
        at_ns: int = 0,
        fact: FactKind | None = None,
    ) -> HistoryEvent:
        """Append the event of `attributes`, apply it and count `fact` when it gets its id.

        An event from outside waits in the buffer while a workflow task is started: it is applied
        now and gets its id (0 until then) when that task ends.
        """
        kind = EVENTS[type(attributes)]
        event = HistoryEvent(event_type=kind.event_type)
        set_timestamp(event.event_time, at_ns or self.now_ns)
        own = getattr(event, kind.field)
        own.CopyFrom(attributes)
        if metadata is not None:
            event.user_metadata.CopyFrom(metadata)
        if kind.from_outside and self.state.volatile.task.started_event_id:
            kind.apply(self.state, event, own)
            self.state.buffer((fact or "").encode() + b"\0" + event.SerializeToString())
        else:
            self._write(event, fact)
            kind.apply(self.state, event, own)
        return event

    def defer(self, attributes: Message) -> None:
        """Append `attributes` behind all command events of a completion."""
        self._deferred.append(attributes)

    def flush_buffer(self) -> bool:
        """Give the waiting events their ids; whether there were any.

        Results of activities come last, and a close event learns the id of its started event.
        """
        state = self.state
        events: list[tuple[str, HistoryEvent]] = []
        for number, row in list(state.buffered.items()):
            name, _, encoded = row.partition(b"\0")
            events.append((name.decode(), HistoryEvent.FromString(encoded)))
            state.drop_buffered(number)
        started_ids: dict[int, int] = {}
        for fact, event in sorted(events, key=lambda waiting: _closes_activity(waiting[1])):
            if event.HasField("activity_task_started_event_attributes"):
                scheduled = event.activity_task_started_event_attributes.scheduled_event_id
                started_ids[scheduled] = state.run.next_event_id
            elif _closes_activity(event):
                closed = getattr(event, event.WhichOneof("attributes") or "")
                closed.started_event_id = started_ids.get(closed.scheduled_event_id, 0)
            self._write(event, FactKind(fact) if fact else None)
        deferred, self._deferred = self._deferred, []
        for attributes in deferred:
            self.append(attributes)
        return bool(events or deferred)

    def ask(self, effect: Effect) -> None:
        self.effects.append(effect)

    def count(
        self, kind: FactKind, count: int = 1, *, at_ns: int = 0, on_run: bool = False
    ) -> None:
        """Meter `count` of `kind` in the hour of `at_ns`, or of this transition.

        `on_run` keeps it in the run's counters too, where the history leaves it open.
        """
        state = self.state
        run = state.run
        hour = (at_ns or self.now_ns) // NANOSECONDS_PER_HOUR
        self.facts.append(
            Fact(state.key.namespace_id, kind, run.workflow_type, run.task_queue, hour, count)
        )
        if on_run or kind in COUNTED_PER_RUN:
            name = f"{kind}@{hour}"
            counters = state.volatile.counters
            state.volatile.counters = {**counters, name: counters.get(name, 0) + count}

    def _write(self, event: HistoryEvent, fact: FactKind | None) -> None:
        run = self.state.run
        event.event_id = run.next_event_id
        run.next_event_id += 1
        if timestamp_ns(event.event_time) < run.last_event_at_ns:
            set_timestamp(event.event_time, run.last_event_at_ns)
        run.last_event_at_ns = timestamp_ns(event.event_time)
        # An event may bring its time along, from a clock ahead of ours: what follows is later.
        self.now_ns = max(self.now_ns, run.last_event_at_ns)
        encoded = event_size_prefixed(event)
        self.state.volatile.history_bytes += len(encoded)
        self.batch.append(encoded)
        if fact is not None:
            self.count(fact, at_ns=run.last_event_at_ns)


def rebuild(state: RunState, events: Iterable[HistoryEvent]) -> None:
    """Fold `events` into an empty state: what the history alone says of the run."""
    for event in events:
        attributes = getattr(event, event.WhichOneof("attributes") or "")
        EVENTS[type(attributes)].apply(state, event, attributes)
        state.run.next_event_id = event.event_id + 1
        state.run.last_event_at_ns = timestamp_ns(event.event_time)


def _closes_activity(event: HistoryEvent) -> bool:
    return (
        event.HasField("activity_task_completed_event_attributes")
        or event.HasField("activity_task_failed_event_attributes")
        or event.HasField("activity_task_timed_out_event_attributes")
        or event.HasField("activity_task_canceled_event_attributes")
    )
