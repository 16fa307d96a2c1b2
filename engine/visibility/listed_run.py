"""A visibility row as the published message."""

from __future__ import annotations

from temporalio.api.workflow.v1 import WorkflowExecutionInfo

from engine.history.protobuf import set_timestamp, to_duration
from engine.visibility.query import VisibilityRow


def execution_info(row: VisibilityRow) -> WorkflowExecutionInfo:
    """What lists and descriptions say of a run."""
    info = WorkflowExecutionInfo(
        status=row.status,  # type: ignore[arg-type]
        history_length=row.history_length,
        history_size_bytes=row.history_bytes,
        state_transition_count=row.transition_count,
        task_queue=row.task_queue,
    )
    info.execution.workflow_id, info.execution.run_id = row.workflow_id, row.run_id
    info.type.name = row.workflow_type
    info.root_execution.workflow_id = row.root_workflow_id
    info.root_execution.run_id = row.root_run_id
    set_timestamp(info.start_time, row.start_at_ns)
    set_timestamp(info.execution_time, row.execution_at_ns)
    if row.close_at_ns is not None:
        set_timestamp(info.close_time, row.close_at_ns)
        # A run that ended in its backoff did not execute at all.
        duration_ns = max(0, row.close_at_ns - row.execution_at_ns)
        info.execution_duration.CopyFrom(to_duration(duration_ns))
    if row.parent_workflow_id:
        info.parent_execution.workflow_id = row.parent_workflow_id
        info.parent_execution.run_id = row.parent_run_id or ""
    if row.memo:
        info.memo.ParseFromString(row.memo)
    if row.search_attributes:
        info.search_attributes.ParseFromString(row.search_attributes)
    return info
