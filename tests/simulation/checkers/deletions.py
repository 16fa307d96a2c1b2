"""What was deleted is gone, and nothing else is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from engine.persistence.protocols import RunKey
from tests.simulation.checkers.evidence import Evidence
from tests.simulation.history_log import Operation

DELETE = "DeleteWorkflowExecution"
EXECUTION_FIELDS = ("execution", "workflow_execution")


def what_is_deleted_is_gone(evidence: Evidence) -> Iterator[str]:
    """An acknowledged deletion is done; a deleted run answers nothing; others are not deleted."""
    deleted = evidence.record.deletions()
    for operation in evidence.acknowledged(DELETE):
        if not any(
            _means(evidence, operation, key) and each.order <= (operation.returned or 0)
            for key, each in deleted.items()
        ):
            yield f"{operation.identity} was told of a deletion that is not"
    for key, each in deleted.items():
        if not _was_asked_for(evidence, key, each.order):
            yield f"{key} was deleted, and nobody asked for it"
        if key in evidence.record.states:
            yield f"{key} was deleted and is stored again"
    known = {key.run_id: _known_order(evidence, key, each.order) for key, each in deleted.items()}
    for operation in evidence.record.operations:
        run_id = _run_answered_for(operation)
        if operation.outcome == "ok" and operation.invoked > known.get(run_id, operation.invoked):
            yield f"{operation.method} was answered for {run_id} after it was deleted"


def _known_order(evidence: Evidence, key: RunKey, deleted: int) -> int:
    """From when on the owner knows that a run is gone: the store may be slow to tell of a commit.

    Whoever has told a client of it does, and whoever commits for the shard again.
    """
    commits = evidence.record.commits
    shard_id = next(commit.shard_id for commit in commits if commit.order == deleted)
    later = [c.order for c in commits if c.shard_id == shard_id and c.order > deleted]
    told = [
        operation.returned
        for operation in evidence.acknowledged(DELETE)
        if operation.returned and operation.returned > deleted and _means(evidence, operation, key)
    ]
    return min([*later[:1], *told], default=sys.maxsize)


def _means(evidence: Evidence, operation: Operation, key: RunKey) -> bool:
    request: Any = operation.request
    execution = request.workflow_execution
    named = (evidence.namespace_id(operation), execution.workflow_id)
    return key[:2] == named and execution.run_id in ("", key.run_id)


def _was_asked_for(evidence: Evidence, key: RunKey, order: int) -> bool:
    if evidence.record.namespaces_deleted.get(key.namespace_id, order) < order:
        return True
    return any(
        operation.invoked < order and _means(evidence, operation, key)
        for operation in evidence.record.calls(DELETE)
    )


def _run_answered_for(operation: Operation) -> str:
    """The run that the answer speaks of."""
    if operation.task is not None:
        return operation.task.key.run_id
    for field in EXECUTION_FIELDS:
        if execution := getattr(operation.request, field, None):
            return str(execution.run_id)
    return str(getattr(operation.response, "run_id", ""))
