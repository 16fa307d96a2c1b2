"""Deadlines: nothing happens before its time, a timer ends once, wall clocks do not matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import TimeoutType
from temporalio.api.history.v1 import HistoryEvent

from tests.simulation.checkers.evidence import Evidence, attributes_of, name_of
from tests.simulation.checkers.histories import ACTIVITY_ENDS, CLOSES
from tests.simulation.env import NANOSECONDS, START_NS

MOVED_SECONDS_MAX = 5.0
"""How much a jump of a wall clock may move an event, and a timer be late when all is well."""

COMMIT_SECONDS_MAX = 600.0
"""An event may wait for its commit, or in a buffer, as long as the cell is hurt."""

NO_TIME_FOR_RETRY = "Not enough time to schedule next retry"
TAKEOVER_SECONDS_MAX = 20.0
"""How long after the healing every shard has an owner that knows its timers."""


def nothing_fires_early(evidence: Evidence) -> Iterator[str]:
    """Timers, timeouts, delays and retries stand in history at their deadline or later."""
    for key, events in evidence.histories.items():
        by_id = {event.event_id: event for event in events}
        for event in events:
            deadline = _deadline_ns(event, by_id, events[0])
            early_ns = deadline - event.event_time.ToNanoseconds()
            if early_ns > 0:
                yield f"{key}: {name_of(event)} {event.event_id} is {early_ns} ns early"


def _deadline_ns(event: HistoryEvent, by_id: dict[int, HistoryEvent], started: HistoryEvent) -> int:
    """The earliest time at which `event` may be; 0 where nothing bounds it."""
    name = name_of(event)
    run = started.workflow_execution_started_event_attributes
    if name == "timer_fired":
        timer = by_id[event.timer_fired_event_attributes.started_event_id]
        return _after(timer, timer.timer_started_event_attributes.start_to_fire_timeout)
    if name == "workflow_task_timed_out":
        task = event.workflow_task_timed_out_event_attributes
        if task.timeout_type == TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE:
            return _after(by_id[task.started_event_id], run.workflow_task_timeout)
    if name == "activity_task_timed_out":
        return _activity_deadline_ns(event, by_id)
    if name == "workflow_execution_timed_out":
        return run_deadline_ns(started)
    if name == "workflow_task_scheduled" and event.event_id == _first_task_id(by_id):
        return _first_task_ns(event, by_id, started)
    return 0


def run_deadline_ns(started: HistoryEvent) -> int:
    """When the run times out, or its execution; 0 means never."""
    run = started.workflow_execution_started_event_attributes
    deadline_ns = run.workflow_execution_expiration_time.ToNanoseconds()
    if run.workflow_run_timeout.ToNanoseconds():
        backoff_ns = run.first_workflow_task_backoff.ToNanoseconds()
        run_ns = _after(started, run.workflow_run_timeout) + backoff_ns
        deadline_ns = min(run_ns, deadline_ns or run_ns)
    return deadline_ns


def _first_task_id(by_id: dict[int, HistoryEvent]) -> int:
    return next(id_ for id_, event in by_id.items() if name_of(event) == "workflow_task_scheduled")


def _first_task_ns(
    event: HistoryEvent, by_id: dict[int, HistoryEvent], started: HistoryEvent
) -> int:
    """A run's backoff holds back its first task, unless a cancel request came before it."""
    names = [name_of(by_id[event_id]) for event_id in range(1, event.event_id)]
    if "workflow_execution_cancel_requested" in names:
        return 0
    run = started.workflow_execution_started_event_attributes
    return _after(started, run.first_workflow_task_backoff)


def _activity_deadline_ns(event: HistoryEvent, by_id: dict[int, HistoryEvent]) -> int:
    """When the last attempt could time out, as far as events tell.

    Its started event is written with the closing one and moved up to the time of the event before
    it, if that is later; then it says nothing of the attempt's real start. When a later attempt
    began to wait is not told, only that it was after the activity was scheduled.
    """
    ended = event.activity_task_timed_out_event_attributes
    scheduled = by_id[ended.scheduled_event_id]
    timeouts = scheduled.activity_task_scheduled_event_attributes
    kind = ended.failure.timeout_failure_info.timeout_type
    if kind == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START:
        return _after(scheduled, timeouts.schedule_to_start_timeout)
    if kind == TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
        is_in_advance = ended.failure.message.startswith(NO_TIME_FOR_RETRY)
        return 0 if is_in_advance else _after(scheduled, timeouts.schedule_to_close_timeout)
    started = by_id.get(ended.started_event_id)
    if started is None or started.event_time == by_id[started.event_id - 1].event_time:
        return 0
    if kind == TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE:
        return _after(started, timeouts.start_to_close_timeout)
    return _after(started, timeouts.heartbeat_timeout)


def _after(event: HistoryEvent, wait: Duration) -> int:
    return event.event_time.ToNanoseconds() + wait.ToNanoseconds()


def timers_end_once(evidence: Evidence) -> Iterator[str]:
    for key, events in evidence.histories.items():
        ends = Counter(
            attributes_of(event).started_event_id
            for event in events
            if name_of(event) in ("timer_fired", "timer_canceled")
        )
        for started, count in ends.items():
            if count > 1:
                yield f"{key}: timer {started} ends {count} times"


def wall_clocks_do_not_matter(evidence: Evidence) -> Iterator[str]:
    """An event's time is the world's, whatever a wall clock shows; healed, timers are on time."""
    off_max = evidence.record.skew_seconds_max + evidence.record.clock_off_seconds_max
    ahead_max, behind_max = MOVED_SECONDS_MAX + off_max, COMMIT_SECONDS_MAX + off_max
    for key, written in evidence.record.written().items():
        for _, commit, event in written:
            ahead = _true_seconds(event.event_time.ToNanoseconds()) - commit.at
            # An attempt's start is written with its end, which may be a timeout by such a clock.
            waited_max = off_max if name_of(event) == "activity_task_started" else 0
            if not -behind_max - waited_max < ahead < ahead_max:
                yield f"{key}: {name_of(event)} {event.event_id} is {ahead} s ahead of its commit"
    yield from _late_timers(evidence)


def _late_timers(evidence: Evidence) -> Iterator[str]:
    record = evidence.record
    healed_at, late_max = record.healed_at, MOVED_SECONDS_MAX + 2 * record.skew_seconds_max
    if healed_at is None or record.clock_off_seconds_max:
        # What a node with a wrong clock has begun is due by that clock.
        return
    if record.sometimes["logged run_parked"]:
        # What the store refuses waits until its shard is read again.
        return
    for key, events in evidence.histories.items():
        by_id = {event.event_id: event for event in events}
        for event in events:
            due_ns = _latest_ns(event, by_id, events[0])
            due = max(_true_seconds(due_ns), healed_at + TAKEOVER_SECONDS_MAX)
            late = _true_seconds(event.event_time.ToNanoseconds()) - due
            if due_ns and late > late_max:
                yield f"{key}: {name_of(event)} {event.event_id} is {late} s late"


def _latest_ns(event: HistoryEvent, by_id: dict[int, HistoryEvent], started: HistoryEvent) -> int:
    """When `event` is due, if some timeout says so: also what others do ends with it."""
    name = name_of(event)
    if name in CLOSES:
        return run_deadline_ns(started)
    if name == "timer_fired":
        return _deadline_ns(event, by_id, started)
    if name in ACTIVITY_ENDS:
        scheduled = by_id[attributes_of(event).scheduled_event_id]
        timeouts = scheduled.activity_task_scheduled_event_attributes
        if timeouts.schedule_to_close_timeout.ToNanoseconds():
            return _after(scheduled, timeouts.schedule_to_close_timeout)
    return 0


def _true_seconds(time_ns: int) -> float:
    """Seconds on the simulated world's clock."""
    return (time_ns - START_NS) / NANOSECONDS
