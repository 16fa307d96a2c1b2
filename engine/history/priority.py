"""The priority of tasks: a workflow's own, and what its activities change of it."""

from __future__ import annotations

from temporalio.api.common.v1 import Priority

from engine.limits import (
    FAIRNESS_KEY_BYTES_MAX,
    FAIRNESS_WEIGHT_MAX,
    FAIRNESS_WEIGHT_MIN,
    PRIORITY_KEY_MAX,
)


def problem(priority: Priority) -> str:
    """What is wrong with a priority as a client sent it; empty when nothing is."""
    if not 0 <= priority.priority_key <= PRIORITY_KEY_MAX:
        return f"priority_key must be 1 to {PRIORITY_KEY_MAX}, or 0 for the default"
    if len(priority.fairness_key.encode()) > FAIRNESS_KEY_BYTES_MAX:
        return f"fairness_key has more than {FAIRNESS_KEY_BYTES_MAX} bytes"
    weight = priority.fairness_weight
    if weight and not FAIRNESS_WEIGHT_MIN <= weight <= FAIRNESS_WEIGHT_MAX:
        return f"fairness_weight must be {FAIRNESS_WEIGHT_MIN} to {FAIRNESS_WEIGHT_MAX}"
    return ""


def merged(of_workflow: bytes, own: Priority) -> Priority:
    """An activity's priority: its workflow's, with the fields that the activity sets."""
    priority = Priority.FromString(of_workflow)
    priority.MergeFrom(own)
    return priority
