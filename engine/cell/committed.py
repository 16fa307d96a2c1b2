"""What is counted of a commit once it is durable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from temporalio.api.enums.v1 import WorkflowExecutionStatus

from engine.cell.taken import TakenRun
from engine.history.protobuf import NANOSECONDS
from engine.history.transition import AttemptEnd
from engine.measures import Measures, Window
from engine.persistence.protocols import RunWrite, ShardWrite

OUTCOMES: Mapping[int, str] = {
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED: "workflow_success",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_FAILED: "workflow_failed",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: "workflow_timeout",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED: "workflow_cancel",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED: "workflow_terminate",
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW: "workflow_continued_as_new",
}


def note_runs(measures: Measures, runs: Iterable[TakenRun]) -> None:
    """What these runs did, for their namespaces: how they ended, activities, Actions."""
    for run in runs:
        for end in run.attempt_ends:
            _note_attempt(measures.windows.of(run.write.key.namespace_id), end)
        for fact in run.facts:
            window = measures.windows.of(fact.namespace_id)
            window.count(("action", fact.kind, fact.workflow_type), fact.quantity)
        row = run.write.visibility
        if row is None or row.close_at_ns is None:
            continue
        window = measures.windows.of(row.namespace_id)
        window.count((OUTCOMES[row.status], row.task_queue, row.workflow_type))
        took_seconds = (row.close_at_ns - row.start_at_ns) / NANOSECONDS
        window.took(("workflow_schedule_to_close", row.workflow_type), took_seconds)


def _note_attempt(window: Window, end: AttemptEnd) -> None:
    """The type of the activity is the last label: most readers do without it."""
    labels: tuple[str, ...] = (end.task_queue, end.workflow_type)
    if end.timeout_type:
        labels += (end.timeout_type,)
    labels += (end.activity_type,)
    if end.outcome in ("fail", "timeout"):
        window.count((f"activity_task_{end.outcome}", *labels))
    if end.attempt_ns is not None:
        took_seconds = end.attempt_ns / NANOSECONDS
        window.took(("activity_start_to_close", end.activity_type), took_seconds)
    if end.activity_ns is not None:
        window.count((f"activity_{end.outcome}", *labels))
        took_seconds = end.activity_ns / NANOSECONDS
        window.took(("activity_schedule_to_close", end.activity_type), took_seconds)


def note_size(measures: Measures, writes: Sequence[ShardWrite]) -> None:
    """How much one transaction wrote, for an operator."""
    sizes = [_size(run) for write in writes for run in write.runs]
    sizes += [(1, len(write.facts)) for write in writes if write.facts is not None]
    measures.commit_rows.observe(sum(rows for rows, _ in sizes))
    measures.commit_bytes.observe(sum(size for _, size in sizes))


def _size(run: RunWrite) -> tuple[int, int]:
    """Rows that are written, and the bytes in them that tenants and history fill."""
    blobs = [run.header, *(batch.blob for batch in run.history)]
    blobs += [row for row in run.items.values() if row is not None]
    if run.summary is not None:
        blobs.append(run.summary)
    row_count = len(blobs) + (run.visibility is not None)
    return row_count, sum(map(len, blobs))
