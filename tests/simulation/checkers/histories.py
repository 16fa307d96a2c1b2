"""What every single history, and every view of it, must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from temporalio.api.history.v1 import HistoryEvent

from engine.history.state import RunState
from engine.history.transition import rebuild
from tests.simulation.calls import checksum
from tests.simulation.checkers.evidence import Evidence, attributes_of, name_of
from tests.simulation.history_log import Read

CLOSES = frozenset(
    f"workflow_execution_{end}"
    for end in ("completed", "failed", "timed_out", "canceled", "terminated", "continued_as_new")
)
ACTIVITY_ENDS = frozenset(
    f"activity_task_{end}" for end in ("completed", "failed", "timed_out", "canceled")
)
TASK_ENDS = frozenset(f"workflow_task_{end}" for end in ("completed", "failed", "timed_out"))
REFERENCES = {
    "scheduled_event_id": {
        "activity_task": {"activity_task_scheduled"},
        "workflow_task": {"workflow_task_scheduled"},
    },
    "started_event_id": {
        "activity_task": {"activity_task_started"},
        "workflow_task": {"workflow_task_started"},
        "timer": {"timer_started"},
    },
    "workflow_task_completed_event_id": {"": {"workflow_task_completed"}},
}
"""For each field: what kind of event it must name, by the start of the referring event's name."""


def reads_are_prefixes(evidence: Evidence) -> Iterator[str]:
    """Whatever anybody read of a run is, byte for byte, in its history at the end."""
    sums = {
        key: {event.event_id: checksum(event) for event in events}
        for key, events in evidence.histories.items()
    }
    for seen in evidence.record.reads:
        held = sums.get(seen.key)
        if held is None:
            if seen.events:
                yield f"{seen.key} was read but is not stored"
            continue
        wrong = [event_id for event_id, total in seen.events if held.get(event_id) != total]
        if wrong:
            yield f"{seen.key}: events {wrong} were read otherwise than they are stored"
        elif not _is_connected(seen):
            yield f"{seen.key}: a read has gaps: {[event_id for event_id, _ in seen.events]}"


def _is_connected(seen: Read) -> bool:
    ids = [event_id for event_id, _ in seen.events]
    return not ids or ids == list(range(ids[0], ids[0] + len(ids)))


def ids_are_gapless_and_one_event_closes(evidence: Evidence) -> Iterator[str]:
    for key, events in evidence.histories.items():
        if [event.event_id for event in events] != list(range(1, len(events) + 1)):
            yield f"{key} has events {[event.event_id for event in events]}"
            continue
        names = [name_of(event) for event in events]
        if names[:1] != ["workflow_execution_started"]:
            yield f"{key} begins with {names[:1]}"
        closed = [name for name in names if name in CLOSES]
        if len(closed) > 1 or (closed and names[-1] != closed[0]):
            yield f"{key} is closed by {closed} and ends with {names[-1]}"


def times_never_go_back(evidence: Evidence) -> Iterator[str]:
    for key, events in evidence.histories.items():
        times = [event.event_time.ToNanoseconds() for event in events]
        for event, before, after in zip(events[1:], times, times[1:], strict=False):
            if after < before:
                yield f"{key}: event {event.event_id} is {before - after} ns before the last one"


def references_hold(evidence: Evidence) -> Iterator[str]:
    """References name events of the right kind before them; what was scheduled ends once."""
    for key, events in evidence.histories.items():
        names = {event.event_id: name_of(event) for event in events}
        ends: Counter[int] = Counter()
        for event in events:
            yield from (f"{key}: {text}" for text in _broken_references(event, names))
            if name_of(event) in ACTIVITY_ENDS:
                ends[attributes_of(event).scheduled_event_id] += 1
        for scheduled, count in ends.items():
            if count > 1:
                yield f"{key}: activity {scheduled} ends {count} times"


def _broken_references(event: HistoryEvent, names: dict[int, str]) -> Iterator[str]:
    name, attributes = name_of(event), attributes_of(event)
    for field, kinds in REFERENCES.items():
        if field not in attributes.DESCRIPTOR.fields_by_name:
            continue
        allowed = next((kinds[start] for start in kinds if name.startswith(start)), None)
        target = getattr(attributes, field)
        if allowed is None or (target == 0 and _may_be_unstarted(name, field)):
            continue
        if target >= event.event_id or names.get(target) not in allowed:
            yield f"event {event.event_id} {name}.{field} names {target} {names.get(target)}"


def _may_be_unstarted(name: str, field: str) -> bool:
    """Activities and sticky workflow tasks may end without having been started."""
    return field == "started_event_id" and name in ACTIVITY_ENDS | {"workflow_task_timed_out"}


def workflow_tasks_come_one_at_a_time(evidence: Evidence) -> Iterator[str]:
    for key, events in evidence.histories.items():
        scheduled = started = 0
        for event in events:
            name = name_of(event)
            if name == "workflow_task_scheduled":
                if scheduled:
                    yield f"{key}: task {event.event_id} is scheduled while {scheduled} stands"
                scheduled, started = event.event_id, 0
            elif name == "workflow_task_started":
                if started or attributes_of(event).scheduled_event_id != scheduled:
                    yield f"{key}: {event.event_id} starts what does not wait"
                started = event.event_id
            elif name in TASK_ENDS:
                ended = attributes_of(event)
                if (ended.scheduled_event_id, ended.started_event_id) != (scheduled, started):
                    yield f"{key}: {event.event_id} ends another task than ({scheduled}, {started})"
                scheduled = started = 0
    yield from _late_completions(evidence)


def _late_completions(evidence: Evidence) -> Iterator[str]:
    """An accepted completion is that of the task that stood."""
    for operation in evidence.acknowledged("RespondWorkflowTaskCompleted"):
        for key, event in evidence.marks.get(evidence.mark_of_call(operation, "task"), ()):
            started = event.workflow_task_completed_event_attributes.started_event_id
            if operation.task is None or operation.task.key != key:
                yield f"{key}: completion {operation.identity} was for another run"
            elif operation.task.name != str(started):
                yield f"{key}: task {started} was completed by that of {operation.task.name}"


def state_is_the_fold_of_history(evidence: Evidence) -> Iterator[str]:
    """The stored state says of the run what its history says, apart from what is volatile."""
    for key, state in evidence.record.states.items():
        folded = RunState(key)
        rebuild(folded, evidence.histories[key])
        if folded.run != state.run and not state.buffered:
            wrong = [
                f"{name} is {getattr(state.run, name)}, history says {getattr(folded.run, name)}"
                for name in state.run.__struct_fields__
                if getattr(state.run, name) != getattr(folded.run, name)
            ]
            yield f"{key}: {'; '.join(wrong)}"
        if state.is_open:
            continue
        if state.activities or state.timers or state.buffered:
            yield f"{key} is closed and still holds items"


def open_runs_wait_for_something(evidence: Evidence) -> Iterator[str]:
    for key, state in evidence.record.states.items():
        waits = state.task.scheduled_event_id or state.activities or state.timers
        if state.is_open and not (waits or state.volatile.backoff_until_ns):
            yield f"{key} is open and waits for nothing"


def lists_agree_with_histories(evidence: Evidence) -> Iterator[str]:
    """Read when all was quiet, a namespace's list is its runs, each once, as they are."""
    if not evidence.record.listed:
        return
    counted = Counter(key for key, _ in evidence.record.listed)
    statuses = dict(evidence.record.listed)
    for key, state in evidence.record.states.items():
        if counted[key] != 1:
            yield f"{key} is listed {counted[key]} times"
        elif statuses[key] != state.run.status:
            yield f"{key} is listed as {statuses[key]}, is {state.run.status}"
    for key in counted.keys() - evidence.record.states.keys():
        yield f"{key} is listed and does not exist"
