"""A run as lists show it, made from its state in the commit that changes it."""

from __future__ import annotations

from temporalio.api.common.v1 import Memo, SearchAttributes

from engine.history.state import RunState
from engine.visibility.query import VisibilityRow
from engine.visibility.search_attributes import decode_all


def memo_of(state: RunState) -> Memo:
    memo = Memo()
    for name, payload in state.run.memo.items():
        memo.fields[name].ParseFromString(payload)
    return memo


def search_attributes_of(state: RunState) -> SearchAttributes:
    attributes = SearchAttributes()
    for name, payload in state.run.search_attributes.items():
        attributes.indexed_fields[name].ParseFromString(payload)
    return attributes


def visibility_row(state: RunState) -> VisibilityRow:
    key, run = state.key, state.run
    attributes = run.search_attributes
    return VisibilityRow(
        namespace_id=key.namespace_id,
        run_id=key.run_id,
        workflow_id=key.workflow_id,
        workflow_type=run.workflow_type,
        task_queue=run.task_queue,
        status=run.status,
        start_at_ns=run.start_at_ns,
        execution_at_ns=run.execution_at_ns,
        close_at_ns=run.close_at_ns or None,
        history_length=run.next_event_id - 1,
        history_bytes=state.volatile.history_bytes,
        transition_count=state.volatile.transition_count,
        root_workflow_id=key.workflow_id,
        root_run_id=key.run_id,
        memo=memo_of(state).SerializeToString() if run.memo else b"",
        search_attributes=search_attributes_of(state).SerializeToString() if attributes else b"",
        attributes=decode_all(attributes) if attributes else {},
    )
