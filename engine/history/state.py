"""The mutable state of a run: what its events say, and a listed volatile part.

`Run`, `Activity` and `Timer` follow from the history alone, except where a field says volatile.
`WorkflowTask` and `Attempt` are volatile: they change without events, and rows keep them.
Items are frozen and replaced, so that a shallow copy of the state is a checkpoint.
None can be part of a cycle, so the garbage collector need not visit the many that stay in memory.
"""

from __future__ import annotations

import heapq
from typing import Literal

import msgspec
from msgspec.structs import replace
from temporalio.api.enums.v1 import WorkflowExecutionStatus

from engine.persistence.protocols import ItemKind, RunKey, StoredRun

RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING

DeadlineKind = Literal[
    "run", "task", "sticky", "backoff", "timer", "activity", "retry", "retention"
]


class Run(msgspec.Struct, array_like=True, gc=False):
    """What the history says of the run as a whole. Times are nanoseconds; 0 means none."""

    workflow_type: str = ""
    task_queue: str = ""
    start_at_ns: int = 0
    execution_at_ns: int = 0
    close_at_ns: int = 0
    status: int = RUNNING
    workflow_task_timeout_ns: int = 0
    run_timeout_ns: int = 0
    execution_timeout_ns: int = 0
    execution_expires_at_ns: int = 0
    first_run_id: str = ""
    original_run_id: str = ""
    continued_run_id: str = ""
    new_run_id: str = ""
    attempt: int = 1
    next_event_id: int = 1
    last_event_at_ns: int = 0
    completed_started_event_id: int = 0
    signal_count: int = 0
    cancel_requested: bool = False
    memo: dict[str, bytes] = {}
    search_attributes: dict[str, bytes] = {}
    user_metadata: bytes = b""
    priority: bytes = b""


class WorkflowTask(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The outstanding workflow task, at most one. `scheduled_event_id` 0 means none.

    From attempt 2 on it is transient: its two event ids are those its events would have.
    """

    scheduled_event_id: int = 0
    started_event_id: int = 0
    attempt: int = 1
    scheduled_at_ns: int = 0
    first_scheduled_at_ns: int = 0
    started_at_ns: int = 0
    timeout_ns: int = 0
    request_id: str = ""
    identity: str = ""
    sticky: bool = False
    history_bytes: int = 0
    suggest_continue_as_new: bool = False


class Volatile(msgspec.Struct, array_like=True, gc=False):
    """What changes without events, as one part of the header row."""

    task: WorkflowTask = WorkflowTask()
    start_request_id: str = ""
    sticky_queue: str = ""
    sticky_timeout_ns: int = 0
    history_bytes: int = 0
    transition_count: int = 0
    buffered_next: int = 0
    backoff_until_ns: int = 0
    retention_ns: int = 0
    counters: dict[str, int] = {}


class Attempt(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The current attempt of an activity; `started_at_ns` 0 means waiting or backing off."""

    number: int = 1
    scheduled_at_ns: int = 0
    started_at_ns: int = 0
    heartbeat_at_ns: int = 0
    request_id: str = ""
    identity: str = ""
    heartbeat_details: bytes = b""
    last_failure: bytes = b""
    last_identity: str = ""
    last_completed_at_ns: int = 0


class Activity(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A pending activity. `attempt` is volatile. Timeouts of 0 do not apply."""

    scheduled_event_id: int
    activity_id: str
    activity_type: str
    task_queue: str
    scheduled_at_ns: int
    schedule_to_start_ns: int = 0
    schedule_to_close_ns: int = 0
    start_to_close_ns: int = 0
    heartbeat_ns: int = 0
    retry_policy: bytes = b""
    cancel_requested_event_id: int = 0
    attempt: Attempt = Attempt()
    priority: bytes = b""


class Timer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A running timer of the workflow; it fires at `due_at_ns`, never before."""

    timer_id: str
    started_event_id: int
    due_at_ns: int


_header_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(tuple[Run, Volatile])
_activity_decoder = msgspec.msgpack.Decoder(Activity)
_timer_decoder = msgspec.msgpack.Decoder(Timer)


class RunState:
    """A run in memory, with the set of rows that differ from the last encoded version."""

    __slots__ = (
        "_deadlines",
        "activities",
        "activity_ids",
        "buffered",
        "buffered_bytes",
        "changed",
        "key",
        "run",
        "signal_requests",
        "started",
        "timers",
        "volatile",
    )

    def __init__(self, key: RunKey) -> None:
        self.key = key
        self.run = Run()
        self.volatile = Volatile()
        self.activities: dict[int, Activity] = {}
        self.activity_ids: dict[str, int] = {}
        self.timers: dict[str, Timer] = {}
        self.buffered: dict[int, bytes] = {}
        self.buffered_bytes = 0
        self.signal_requests: dict[str, None] = {}
        self.started = b""
        """How the run began, kept while another run may begin alike: a serialized event."""
        self.changed: set[tuple[ItemKind, str]] = set()
        self._deadlines: list[tuple[int, DeadlineKind, str]] = []

    @property
    def is_open(self) -> bool:
        return self.run.status == RUNNING

    @property
    def task(self) -> WorkflowTask:
        return self.volatile.task

    @task.setter
    def task(self, task: WorkflowTask) -> None:
        self.volatile.task = task

    @property
    def is_active(self) -> bool:
        """Whether recovery must load the run, because a task of it is waiting or under way."""
        return bool(self.volatile.task.scheduled_event_id or self.activities)

    def put_activity(self, activity: Activity) -> None:
        if activity.scheduled_event_id not in self.activities:
            self.activity_ids[activity.activity_id] = activity.scheduled_event_id
        self.activities[activity.scheduled_event_id] = activity
        self.changed.add((ItemKind.ACTIVITY, str(activity.scheduled_event_id)))

    def put_attempt(self, activity: Activity, attempt: Attempt) -> Activity:
        activity = replace(activity, attempt=attempt)
        self.put_activity(activity)
        return activity

    def drop_activity(self, scheduled_event_id: int) -> None:
        activity = self.activities.pop(scheduled_event_id)
        # In the order of history the id may be another activity's already: the workflow used it
        # again while this one's end still waited in the buffer.
        if self.activity_ids.get(activity.activity_id) == scheduled_event_id:
            del self.activity_ids[activity.activity_id]
        self.changed.add((ItemKind.ACTIVITY, str(scheduled_event_id)))

    def put_timer(self, timer: Timer) -> None:
        self.timers[timer.timer_id] = timer
        self.changed.add((ItemKind.TIMER, timer.timer_id))
        self.add_deadline(timer.due_at_ns, "timer", timer.timer_id)

    def drop_timer(self, timer_id: str) -> None:
        del self.timers[timer_id]
        self.changed.add((ItemKind.TIMER, timer_id))

    def buffer(self, event: bytes) -> None:
        number = self.volatile.buffered_next
        self.volatile.buffered_next += 1
        self.buffered[number] = event
        self.buffered_bytes += len(event)
        self.changed.add((ItemKind.BUFFERED_EVENT, f"{number:08d}"))

    def drop_buffered(self, number: int) -> None:
        self.buffered_bytes -= len(self.buffered.pop(number))
        self.changed.add((ItemKind.BUFFERED_EVENT, f"{number:08d}"))

    def drop_pending(self) -> None:
        """Forget everything that a closed run no longer waits for."""
        for scheduled_event_id in list(self.activities):
            self.drop_activity(scheduled_event_id)
        for timer_id in list(self.timers):
            self.drop_timer(timer_id)
        for number in list(self.buffered):
            self.drop_buffered(number)
        self.put_started(b"")
        self.task = WorkflowTask()
        self._deadlines.clear()

    def put_started(self, started: bytes) -> None:
        if started != self.started:
            self.started = started
            self.changed.add((ItemKind.STARTED, ""))

    def remember_signal_request(self, request_id: str) -> None:
        self.signal_requests[request_id] = None
        self.changed.add((ItemKind.SIGNAL_REQUEST, request_id))

    def add_deadline(self, at_ns: int, kind: DeadlineKind, name: str = "") -> None:
        """Look at the run at `at_ns`. Deadlines are never removed: a look may find nothing."""
        heapq.heappush(self._deadlines, (at_ns, kind, name))

    def next_deadline_ns(self) -> int | None:
        return self._deadlines[0][0] if self._deadlines else None

    def due_deadlines(self, now_ns: int) -> list[tuple[int, DeadlineKind, str]]:
        """Takes the deadlines up to `now_ns`, earliest first."""
        due = []
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            due.append(heapq.heappop(self._deadlines))
        return due

    def checkpoint(self) -> RunState:
        """A copy that `restore` can go back to; items are shared, they never change."""
        saved = RunState(self.key)
        saved._assign(self)
        return saved

    def restore(self, saved: RunState) -> None:
        self._assign(saved)

    def _assign(self, other: RunState) -> None:
        self.run = replace(other.run)
        self.volatile = replace(other.volatile)
        self.activities = other.activities.copy()
        self.activity_ids = other.activity_ids.copy()
        self.timers = other.timers.copy()
        self.buffered = other.buffered.copy()
        self.buffered_bytes = other.buffered_bytes
        self.signal_requests = other.signal_requests.copy()
        self.started = other.started
        self.changed = other.changed.copy()
        self._deadlines = other._deadlines.copy()


def encode_header(state: RunState) -> bytes:
    return _header_encoder.encode((state.run, state.volatile))


def encode_item(state: RunState, kind: ItemKind, key: str) -> bytes | None:
    """The newest row of an item, or None where it is gone."""
    if kind is ItemKind.ACTIVITY:
        activity = state.activities.get(int(key))
        return None if activity is None else _header_encoder.encode(activity)
    if kind is ItemKind.TIMER:
        timer = state.timers.get(key)
        return None if timer is None else _header_encoder.encode(timer)
    if kind is ItemKind.BUFFERED_EVENT:
        return state.buffered.get(int(key))
    if kind is ItemKind.STARTED:
        return state.started or None
    return b"" if key in state.signal_requests else None


def decode(stored: StoredRun) -> RunState:
    """The state as its rows hold it; deadlines are derived again by the caller."""
    state = RunState(stored.key)
    state.run, state.volatile = _header_decoder.decode(stored.header)
    for (kind, key), row in sorted(stored.items.items()):
        if kind is ItemKind.ACTIVITY:
            state.put_activity(_activity_decoder.decode(row))
        elif kind is ItemKind.TIMER:
            timer = _timer_decoder.decode(row)
            state.timers[timer.timer_id] = timer
        elif kind is ItemKind.BUFFERED_EVENT:
            state.buffered[int(key)] = row
            state.buffered_bytes += len(row)
        elif kind is ItemKind.STARTED:
            state.started = row
        else:
            state.signal_requests[key] = None
    state.changed.clear()
    return state
