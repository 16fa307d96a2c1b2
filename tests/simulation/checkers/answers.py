"""What clients and workers were told must be true, and must have been true when they were told."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
from temporalio.api.enums.v1 import CommandType, WorkflowIdConflictPolicy
from temporalio.api.history.v1 import HistoryEvent

from engine.persistence.protocols import RunKey
from tests.simulation.checkers.evidence import (
    MARKED_METHODS,
    SIGNALS,
    STARTS,
    Evidence,
    attributes_of,
    begins_chain,
    mark_of,
    name_of,
)
from tests.simulation.checkers.histories import ACTIVITY_ENDS, CLOSES
from tests.simulation.history_log import Operation

TERMINATE_EXISTING = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
ENGINE_IDENTITY = "history-service"
COMPLETED = "workflow execution already completed"
ACTIVITY_RESPONSES = (
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RespondActivityTaskCanceled",
)
EVENT_OF_COMMAND = {
    "SCHEDULE_ACTIVITY_TASK": "activity_task_scheduled",
    "REQUEST_CANCEL_ACTIVITY_TASK": "activity_task_cancel_requested",
    "START_TIMER": "timer_started",
    "CANCEL_TIMER": "timer_canceled",
    "RECORD_MARKER": "marker_recorded",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": "upsert_workflow_search_attributes",
    "MODIFY_WORKFLOW_PROPERTIES": "workflow_properties_modified",
    "COMPLETE_WORKFLOW_EXECUTION": "workflow_execution_completed",
    "FAIL_WORKFLOW_EXECUTION": "workflow_execution_failed",
    "CANCEL_WORKFLOW_EXECUTION": "workflow_execution_canceled",
    "CONTINUE_AS_NEW_WORKFLOW_EXECUTION": "workflow_execution_continued_as_new",
}
READS = ("DescribeWorkflowExecution", "GetWorkflowExecutionHistory")
CALLS_OF_MARK = {
    "start": STARTS,
    "signal": SIGNALS,
    "cancel": ("RequestCancelWorkflowExecution",),
    "terminate": ("TerminateWorkflowExecution",),
    "task": ("RespondWorkflowTaskCompleted",),
    "activity": ACTIVITY_RESPONSES,
}


def acknowledged_starts_exist(evidence: Evidence) -> Iterator[str]:
    for operation in evidence.acknowledged(*STARTS):
        request: Any = operation.request
        run_id = getattr(operation.response, "run_id", "")
        key = RunKey(evidence.namespace_id(operation), request.workflow_id, run_id)
        if key not in evidence.histories:
            yield f"{operation.identity} was told of {key}, which does not exist"
    yield from _requests_that_started_again(evidence)


def _requests_that_started_again(evidence: Evidence) -> Iterator[str]:
    """A repeated start finds the run it started, unless another start took the id meanwhile.

    Nor does it find one whose chain lost a run to a deletion: its last run may have been that.
    """
    deleted = evidence.record.deletions()
    for workflow, keys in evidence.runs.items():
        before, is_whole = "", True
        for key in keys:
            events = evidence.histories.get(key, [])
            if begins_chain(events):
                after = attributes_of(events[0]).identity
                if before == after and is_whole:
                    yield f"request {after} started {workflow} twice"
                before, is_whole = after, True
            is_whole = is_whole and key not in deleted


def acknowledged_calls_are_in_history(evidence: Evidence) -> Iterator[str]:
    """Signals, cancel requests, terminations and completions that were accepted are recorded."""
    for operation in evidence.acknowledged(*MARKED_METHODS):
        kind = MARKED_METHODS[operation.method]
        if operation.method in ("StartWorkflowExecution", "RespondActivityTaskFailed"):
            continue
        if _is_recorded(evidence, operation, kind):
            continue
        if kind == "cancel" and _cancel_was_needless(evidence, operation):
            continue
        yield f"accepted {operation.method} {operation.identity} is in no history"
    for operation in evidence.acknowledged("SignalWithStartWorkflowExecution"):
        if not _is_recorded(evidence, operation, "signal"):
            yield f"the signal of accepted {operation.identity} is in no history"


def _is_recorded(evidence: Evidence, operation: Operation, kind: str) -> bool:
    """Whether it is in history, or waited for that when its namespace was deleted."""
    mark = evidence.mark_of_call(operation, kind)
    is_gone = mark.namespace_id in evidence.record.namespaces_deleted
    return bool(evidence.marks.get(mark)) or (is_gone and mark in evidence.mark_durable_at)


def _cancel_was_needless(evidence: Evidence, operation: Operation) -> bool:
    """Whether a run it may have meant was closed, or being cancelled, when it was answered."""
    request: Any = operation.request
    execution = request.workflow_execution
    workflow = (evidence.namespace_id(operation), execution.workflow_id)
    for key in evidence.runs[workflow]:
        if execution.run_id not in ("", key.run_id):
            continue
        for event in evidence.histories[key]:
            order = evidence.durable_at.get((key, event.event_id))
            if name_of(event) == "workflow_execution_cancel_requested":
                mark = mark_of(key, event)
                order = evidence.mark_durable_at.get(mark) if mark is not None else None
            elif name_of(event) not in CLOSES:
                continue
            if order is not None and order < (operation.returned or 0):
                return True
    return False


def nothing_is_invented(evidence: Evidence) -> Iterator[str]:
    """Every event has a cause, and what was refused left no trace."""
    for key, event in evidence.events():
        name, attributes = name_of(event), attributes_of(event)
        mark = mark_of(key, event)
        if name == "workflow_execution_started" and attributes.continued_execution_run_id:
            yield from _continued_wrongly(evidence, key, event)
        elif name == "workflow_execution_terminated" and attributes.identity == ENGINE_IDENTITY:
            if key not in evidence.record.deletions() and not _is_displaced(evidence, key):
                yield f"{key} was terminated by the engine without a reason"
        elif mark is not None:
            if not evidence.may_have_happened(mark, *CALLS_OF_MARK[mark.kind]):
                yield f"{key}: {name} {event.event_id} has no cause ({mark.identity})"
        if name == "workflow_task_completed":
            yield from _commands_differ(evidence, key, event)


def _continued_wrongly(evidence: Evidence, key: RunKey, event: HistoryEvent) -> Iterator[str]:
    before = key._replace(run_id=attributes_of(event).continued_execution_run_id)
    events = evidence.histories.get(before, [])
    if not events or getattr(attributes_of(events[-1]), "new_execution_run_id", "") != key.run_id:
        yield f"{key} continues {before.run_id}, which does not say so"


def _is_displaced(evidence: Evidence, key: RunKey) -> bool:
    """Whether a start asked to take the workflow id over."""
    return any(
        operation.method == "StartWorkflowExecution"
        and getattr(operation.request, "workflow_id", "") == key.workflow_id
        and getattr(operation.request, "workflow_id_conflict_policy", 0) == TERMINATE_EXISTING
        for operation in evidence.record.operations
    )


def _commands_differ(evidence: Evidence, key: RunKey, event: HistoryEvent) -> Iterator[str]:
    """The events of a completed task are the commands of its completion, in order."""
    identity = attributes_of(event).identity
    operation = next(iter(evidence.calls.get((key.namespace_id, identity), ())), None)
    if operation is None:
        return
    request: Any = operation.request
    asked = [
        EVENT_OF_COMMAND[CommandType.Name(command.command_type).removeprefix("COMMAND_TYPE_")]
        for command in request.commands
    ]
    done = [
        name_of(other)
        for other in evidence.histories[key]
        if getattr(attributes_of(other), "workflow_task_completed_event_id", 0) == event.event_id
    ]
    if asked != done:
        yield f"{key}: task {event.event_id} asked for {asked} and did {done}"


def attempts_are_handed_and_answered_once(evidence: Evidence) -> Iterator[str]:
    """An attempt goes to one worker; only the last attempt of an activity decides its end."""
    counts = Counter((handed.kind, handed.task) for handed in evidence.record.handed)
    for (kind, task), count in counts.items():
        if count > 1:
            yield f"{kind} task {task} was handed to {count} workers"
    newest: dict[tuple[RunKey, str], list[tuple[int, int]]] = defaultdict(list)
    for handed in evidence.record.handed:
        if handed.kind == "activity":
            place = (handed.task.key, handed.task.name)
            newest[place].append((handed.task.attempt, handed.order))
    ends = _activity_ends(evidence)
    for operation in evidence.acknowledged(*ACTIVITY_RESPONSES, "RecordActivityTaskHeartbeat"):
        assert operation.task is not None
        place = (operation.task.key, operation.task.name)
        for attempt, order in newest[place]:
            if attempt > operation.task.attempt and order < operation.invoked:
                yield f"{operation.method} of {operation.task} was accepted after {attempt} began"
    for operation in evidence.acknowledged(*ACTIVITY_RESPONSES):
        yield from _ends_otherwise(operation, ends)


ActivityEnd = tuple[HistoryEvent, int]


def _activity_ends(evidence: Evidence) -> dict[tuple[RunKey, str], ActivityEnd]:
    """The closing event of each activity, and its last attempt (0: it was not running)."""
    ends = {}
    for key, events in evidence.histories.items():
        by_id = {event.event_id: event for event in events}
        for event in events:
            if name_of(event) not in ACTIVITY_ENDS:
                continue
            attributes = attributes_of(event)
            scheduled = by_id.get(attributes.scheduled_event_id)
            started = by_id.get(attributes.started_event_id)
            if scheduled is None:
                continue
            activity_id = scheduled.activity_task_scheduled_event_attributes.activity_id
            attempt = attributes_of(started).attempt if started is not None else 0
            ends[key, activity_id] = (event, attempt)
    return ends


def _ends_otherwise(
    operation: Operation, ends: dict[tuple[RunKey, str], ActivityEnd]
) -> Iterator[str]:
    assert operation.task is not None
    end = ends.get((operation.task.key, operation.task.name))
    if end is None:
        return
    event, attempt = end
    mine = getattr(attributes_of(event), "identity", "") == operation.identity
    if mine and attempt != operation.task.attempt:
        yield f"{operation.task} ended its activity as attempt {attempt}"
    if not mine and operation.method != "RespondActivityTaskFailed":
        yield f"{operation.method} of {operation.task} was accepted, the end is {name_of(event)}"
    if not mine and 0 < attempt <= operation.task.attempt:
        yield f"{operation.task} failed, but attempt {attempt} is said to be the last"


def signals_come_once_and_in_order(evidence: Evidence) -> Iterator[str]:
    """A run has a signal once; one sender's signals keep the order in which they were accepted."""
    for key, events in evidence.histories.items():
        places: dict[str, int] = {}
        for event in events:
            mark = mark_of(key, event)
            if mark is None or mark.kind != "signal":
                continue
            if mark.identity in places:
                first_id = places[mark.identity]
                yield f"{key}: signal {mark.identity} is at {first_id} and {event.event_id}"
            places[mark.identity] = event.event_id
        sent: dict[str, list[Operation]] = defaultdict(list)
        for identity in places:
            attempts = evidence.calls[key.namespace_id, identity]
            calls = [call for call in attempts if call.outcome == "ok"]
            if not calls:
                continue
            first = min(calls, key=lambda call: call.returned or 0)
            if not _spoke_of_the_signal_elsewhere(evidence, key, places[identity], first):
                sent[identity.rpartition(".")[0]].append(first)
        for calls in sent.values():
            calls.sort(key=lambda call: call.invoked)
            order = [places[call.identity] for call in calls]
            if order != sorted(order):
                yield f"{key}: signals of one sender are at {order}"


def _spoke_of_the_signal_elsewhere(
    evidence: Evidence, key: RunKey, event_id: int, operation: Operation
) -> bool:
    """Whether a lost try of it came late and met a later run than the one that was answered."""
    mark = evidence.mark_of_call(operation, "signal")
    is_late = evidence.durable_at.get((key, event_id), 0) > (operation.returned or 0)
    return is_late and any(place.key != key for place in evidence.marks[mark])


def nothing_is_told_before_it_is_durable(evidence: Evidence) -> Iterator[str]:
    """An answer leaves after the commit of all that it speaks of."""
    for operation in evidence.acknowledged(*MARKED_METHODS):
        if operation.method == "StartWorkflowExecution" and not _started(operation):
            # It speaks of a run that was there; an earlier try of it may yet start one, late.
            continue
        mark = evidence.mark_of_call(operation, MARKED_METHODS[operation.method])
        order = evidence.mark_durable_at.get(mark)
        if order is None or order <= (operation.returned or 0):
            continue
        if mark.kind == "cancel" and _spoke_of_an_earlier_run(evidence, operation):
            continue
        yield f"{operation.method} {operation.identity} was answered before its commit"
    for seen in evidence.record.reads:
        for event_id, _ in seen.events:
            order = evidence.durable_at.get((seen.key, event_id))
            if order is None or order > seen.order:
                yield f"{seen.key}: event {event_id} was read before its commit"
                break
    yield from _refused_too_early(evidence)


def _refused_too_early(evidence: Evidence) -> Iterator[str]:
    """A refusal that names a run leaves after the run began, or ended where it says so."""
    keys = {key.run_id: key for key in evidence.histories}
    for operation in evidence.record.operations:
        if operation.outcome != "refused" or not operation.run_id:
            continue
        key = keys.get(operation.run_id)
        if key is None:
            yield f"{operation.identity} was refused for {operation.run_id}, which does not exist"
            continue
        event_id = len(evidence.histories[key]) if COMPLETED in operation.error else 1
        order = evidence.durable_at.get((key, event_id))
        if order is None or order > (operation.returned or 0):
            yield f"{operation.identity} was refused for {key} before event {event_id} was durable"


def _spoke_of_an_earlier_run(evidence: Evidence, operation: Operation) -> bool:
    """Whether it was needless when it was answered, and another try of it met a later run."""
    mark = evidence.mark_of_call(operation, "cancel")
    order = evidence.mark_durable_at[mark]
    is_later = all(
        evidence.durable_at.get((place.key, 1), 0) > operation.invoked
        for place in evidence.marks[mark]
    )
    is_of_another_try = any(
        attempt.outcome == "unknown" or (attempt.returned or 0) >= order
        for attempt in evidence.calls[mark.namespace_id, mark.identity]
        if attempt is not operation
    )
    return is_later and is_of_another_try and _cancel_was_needless(evidence, operation)


def _started(operation: Operation) -> bool:
    response: Any = operation.response
    return bool(response.started)


def queries_see_what_was_acknowledged(evidence: Evidence) -> Iterator[str]:
    for query in evidence.acknowledged("QueryWorkflow"):
        response: Any = query.response
        if response.HasField("query_rejected"):
            continue
        run_id, _, signals = msgspec.json.decode(response.query_result.payloads[0].data)
        for signal in evidence.acknowledged(*SIGNALS):
            if (signal.returned or 0) > query.invoked or signal.identity in signals:
                continue
            places = evidence.marks.get(evidence.mark_of_call(signal, "signal"), [])
            if any(place.key.run_id == run_id for place in places):
                yield f"a query of {run_id} did not see {signal.identity}, accepted before"


def reads_see_what_is_durable(evidence: Evidence) -> Iterator[str]:
    """Whoever asks for a run learns of every event that was committed before he asked."""
    written: dict[str, list[int]] = {
        key.run_id: [order for order, _, _ in events]
        for key, events in evidence.record.written().items()
    }
    for operation in evidence.acknowledged(*READS):
        if (shown := _last_event_shown(operation)) is None:
            continue
        request: Any = operation.request
        orders = written.get(request.execution.run_id, [])
        durable = bisect_left(orders, operation.invoked)
        if shown < durable:
            run_id = request.execution.run_id
            yield f"{operation.method} of {run_id} showed {shown} of {durable} events"


def _last_event_shown(operation: Operation) -> int | None:
    """The id of the last event that an answer knows; None where it does not mean to tell."""
    request: Any = operation.request
    response: Any = operation.response
    if operation.method == "DescribeWorkflowExecution":
        return int(response.workflow_execution_info.history_length)
    if request.wait_new_event or request.next_page_token or response.next_page_token:
        return None
    return max((event.event_id for event in response.history.events), default=0)
