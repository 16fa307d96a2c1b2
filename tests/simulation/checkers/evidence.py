"""The record of a seed, indexed for the checkers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from temporalio.api.history.v1 import HistoryEvent

from engine.persistence.protocols import ItemKind, RunKey
from tests.simulation.history_log import Operation, Record

STARTS = ("StartWorkflowExecution", "SignalWithStartWorkflowExecution")
SIGNALS = ("SignalWorkflowExecution", "SignalWithStartWorkflowExecution")

MARKED_BY_IDENTITY = {
    "workflow_execution_started": "start",
    "workflow_execution_cancel_requested": "cancel",
    "workflow_execution_terminated": "terminate",
    "workflow_task_completed": "task",
    "activity_task_completed": "activity",
    "activity_task_failed": "activity",
    "activity_task_canceled": "activity",
}
MARKED_METHODS = {
    "StartWorkflowExecution": "start",
    "SignalWorkflowExecution": "signal",
    "RequestCancelWorkflowExecution": "cancel",
    "TerminateWorkflowExecution": "terminate",
    "RespondWorkflowTaskCompleted": "task",
    "RespondActivityTaskCompleted": "activity",
    "RespondActivityTaskFailed": "activity",
    "RespondActivityTaskCanceled": "activity",
}


class Mark(NamedTuple):
    """What ties an event to the call that caused it. Identities may repeat across namespaces."""

    namespace_id: str
    kind: str
    identity: str


class Place(NamedTuple):
    """Where an event stands."""

    key: RunKey
    event: HistoryEvent


def name_of(event: HistoryEvent) -> str:
    """`timer_fired`, `workflow_task_started` …"""
    return (event.WhichOneof("attributes") or "").removesuffix("_event_attributes")


def begins_chain(events: Sequence[HistoryEvent]) -> bool:
    """Whether the run followed no other one. Of a lost beginning other checkers tell."""
    if not events or name_of(events[0]) != "workflow_execution_started":
        return False
    return not attributes_of(events[0]).continued_execution_run_id


def attributes_of(event: HistoryEvent) -> Any:
    return getattr(event, event.WhichOneof("attributes") or "")


def mark_of(key: RunKey, event: HistoryEvent) -> Mark | None:
    name = name_of(event)
    if name == "workflow_execution_signaled":
        signaled = event.workflow_execution_signaled_event_attributes
        identity = msgspec.json.decode(signaled.input.payloads[0].data, type=str)
        return Mark(key.namespace_id, "signal", identity)
    kind = MARKED_BY_IDENTITY.get(name)
    if kind is None:
        return None
    return Mark(key.namespace_id, kind, attributes_of(event).identity)


class Evidence:
    """Indexes that several checkers use."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.histories = record.histories
        self.calls: dict[tuple[str, str], list[Operation]] = defaultdict(list)
        """Calls by namespace id and identity."""
        for operation in record.operations:
            if operation.identity:
                namespace_id = self.namespace_id(operation)
                self.calls[namespace_id, operation.identity].append(operation)
        self.marks: dict[Mark, list[Place]] = defaultdict(list)
        for key, event in self.events():
            if (mark := mark_of(key, event)) is not None:
                self.marks[mark].append(Place(key, event))
        self.runs: dict[tuple[str, str], list[RunKey]] = defaultdict(list)
        """The runs of each workflow id in the order in which they were first written."""
        self.durable_at: dict[tuple[RunKey, int], int] = {}
        """The order of the commit that wrote an event."""
        self.mark_durable_at: dict[Mark, int] = {}
        """The order of the commit that wrote, or buffered, the event of a mark."""
        self._read_commits()

    def events(self) -> Iterator[tuple[RunKey, HistoryEvent]]:
        for key, events in self.histories.items():
            for event in events:
                yield key, event

    def acknowledged(self, *methods: str) -> Iterator[Operation]:
        for operation in self.record.operations:
            if operation.outcome == "ok" and operation.method in methods:
                yield operation

    def namespace_id(self, operation: Operation) -> str:
        return self.record.namespaces[operation.namespace]

    def mark_of_call(self, operation: Operation, kind: str) -> Mark:
        return Mark(self.namespace_id(operation), kind, operation.identity)

    def may_have_happened(self, mark: Mark, *methods: str) -> bool:
        """Whether a call of one of `methods` was made that was not refused each time."""
        return any(
            operation.outcome != "refused" or self._is_refused_second_time(operation, mark)
            for operation in self.calls.get((mark.namespace_id, mark.identity), ())
            if operation.method in methods
        )

    def _is_refused_second_time(self, operation: Operation, mark: Mark) -> bool:
        """Whether the refusal may only say that the same call was executed before.

        A node that got no answer of the shard's owner asks again. Calls without a request id then
        find nothing left to end, and none finds a run that was deleted meanwhile.
        """
        if operation.error.startswith("NamespaceNotFound"):
            return True
        if self._was_replaced(operation, mark):
            return True
        again = operation.method.startswith(("Respond", "Terminate"))
        deleted = any(key.namespace_id == mark.namespace_id for key in self.record.deletions())
        return (again or deleted) and operation.error.startswith("NotFound")

    def _was_replaced(self, operation: Operation, mark: Mark) -> bool:
        """Whether the run that a refusal names took the id from the one that the call reached."""
        if not operation.run_id or operation.method not in (*STARTS, *SIGNALS):
            return False
        request: Any = operation.request
        is_signal = operation.method == "SignalWorkflowExecution"
        execution = request.workflow_execution if is_signal else request
        named = RunKey(mark.namespace_id, execution.workflow_id, operation.run_id)
        began = self.durable_at.get((named, 1), 0)
        return self.mark_durable_at.get(mark, began) < began

    def _read_commits(self) -> None:
        written = self.record.written()
        for key, events in written.items():
            self.runs[key[:2]].append(key)
            for order, _, event in events:
                self.durable_at.setdefault((key, event.event_id), order)
                self._mark(key, event, order)
        for commit in self.record.commits:
            if commit.fenced:
                continue
            for write in commit.runs:
                for (kind, _), row in write.items.items():
                    if kind is ItemKind.BUFFERED_EVENT and row is not None:
                        self._mark(write.key, buffered_event(row), commit.order)

    def _mark(self, key: RunKey, event: HistoryEvent, order: int) -> None:
        mark = mark_of(key, event)
        if mark is not None and order < self.mark_durable_at.get(mark, order + 1):
            self.mark_durable_at[mark] = order


def buffered_event(row: bytes) -> HistoryEvent:
    """The event in a row of the buffer; what it is metered as stands before it."""
    return HistoryEvent.FromString(row.partition(b"\0")[2])
