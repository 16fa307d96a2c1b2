"""What customers are told of their namespaces: one row for each metric, under the field's names."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

FIELD = "temporal_cloud_v1_"
OWN = "perdure_cloud_v1_"
"""For what the field has no name for."""

LABELS_OF_ALL = ("temporal_namespace", "temporal_account", "region")

OPERATION = "operation"
TASK_QUEUE = "temporal_task_queue"
TASK_TYPE = "task_type"
WORKFLOW_TYPE = "temporal_workflow_type"
ACTIVITY_TYPE = "temporal_activity_type"
TIMEOUT_TYPE = "timeout_type"


class Measures(StrEnum):
    """What the number of a gauge is."""

    RATE = "rate"
    VALUE = "value"
    PERCENTILE = "percentile"


@dataclass(frozen=True, slots=True)
class Family:
    """`series` is what the parts of the cloud call it; `labels` are in their order.

    `on_request` are labels behind them: they make many series, so who wants them has to say so.
    """

    name: str
    measures: Measures
    series: str
    help: str
    labels: tuple[str, ...] = ()
    share: float = 0.0
    """Of a percentile: 0.95 is the 95th."""

    on_request: tuple[str, ...] = ()

    def with_labels(self, wanted: Container[str]) -> Family:
        """The same with those of its labels that are wanted besides."""
        added = tuple(label for label in self.on_request if label in wanted)
        return replace(self, labels=self.labels + added, on_request=())


def _rate(name: str, series: str, help: str, *labels: str) -> Family:
    return Family(f"{FIELD}{name}", Measures.RATE, series, help, labels)


def _value(name: str, series: str, help: str, *labels: str) -> Family:
    return Family(name, Measures.VALUE, series, help, labels)


def _percentiles(name: str, series: str, help: str, *labels: str) -> Iterator[Family]:
    for number in (50, 95, 99):
        yield Family(
            f"{FIELD}{name}_p{number}",
            Measures.PERCENTILE,
            series,
            f"The {number}th percentile of {help}.",
            labels,
            number / 100,
        )


def _ended(name: str, how: str) -> Family:
    return _rate(f"{name}_count", name, f"Workflows that {how}.", TASK_QUEUE, WORKFLOW_TYPE)


def _of_activities(name: str, help: str, *labels: str) -> Family:
    counted = _rate(f"{name}_count", name, help, TASK_QUEUE, WORKFLOW_TYPE, *labels)
    return replace(counted, on_request=(ACTIVITY_TYPE,))


def _activities_took(name: str, help: str) -> Iterator[Family]:
    for family in _percentiles(f"{name}_latency", name, help):
        yield replace(family, on_request=(ACTIVITY_TYPE,))


FAMILIES: tuple[Family, ...] = (
    _rate("service_request_count", "service_request", "Calls of the namespace.", OPERATION),
    _rate("service_error_count", "service_error", "Calls that were refused.", OPERATION),
    _rate(
        "resource_exhausted_error_count",
        "resource_exhausted",
        "Calls refused because a limit was reached.",
        OPERATION,
    ),
    _value(
        f"{FIELD}service_pending_requests",
        "service_pending",
        "Calls that wait on purpose: for a task, or for more of a history.",
        OPERATION,
    ),
    *_percentiles(
        "service_latency",
        "service_latency",
        "how long calls took; those that wait on purpose are left out",
        OPERATION,
    ),
    _ended("workflow_success", "completed"),
    _ended("workflow_failed", "failed"),
    _ended("workflow_timeout", "timed out"),
    _ended("workflow_cancel", "were canceled"),
    _ended("workflow_terminate", "were terminated"),
    _ended("workflow_continued_as_new", "continued as new"),
    *_percentiles(
        "workflow_schedule_to_close_latency",
        "workflow_schedule_to_close",
        "the time from a workflow's start to its end",
        WORKFLOW_TYPE,
    ),
    _of_activities("activity_success", "Activities that completed."),
    _of_activities("activity_fail", "Activities that failed for good."),
    _of_activities("activity_timeout", "Activities that timed out for good.", TIMEOUT_TYPE),
    _of_activities("activity_cancel", "Activities that were canceled."),
    _of_activities("activity_task_fail", "Attempts of activities that failed, last ones too."),
    _of_activities(
        "activity_task_timeout",
        "Attempts of activities that timed out, last ones too.",
        TIMEOUT_TYPE,
    ),
    *_activities_took(
        "activity_start_to_close", "how long workers had attempts of activities, however they ended"
    ),
    *_activities_took(
        "activity_schedule_to_close",
        "the time from an activity's scheduling to its end, over all its attempts",
    ),
    _value(
        f"{FIELD}approximate_backlog_count",
        "backlog",
        "Tasks that wait for a worker.",
        TASK_TYPE,
        TASK_QUEUE,
    ),
    _value(
        f"{OWN}approximate_backlog_age_seconds",
        "backlog_age",
        "How long the first of them has waited.",
        TASK_TYPE,
        TASK_QUEUE,
    ),
    _rate(
        "poll_success_count",
        "poll_success",
        "Tasks that polls were given.",
        TASK_TYPE,
        TASK_QUEUE,
        OPERATION,
    ),
    _rate(
        "poll_success_sync_count",
        "poll_success_sync",
        "Tasks that found a poll waiting.",
        TASK_TYPE,
        TASK_QUEUE,
        OPERATION,
    ),
    _rate(
        "poll_timeout_count",
        "poll_timeout",
        "Polls that ended without a task.",
        TASK_TYPE,
        TASK_QUEUE,
        OPERATION,
    ),
    _rate(
        "no_poller_tasks_count",
        "no_poller_tasks",
        "Tasks that came to a queue which no worker polled in the last minutes.",
        TASK_TYPE,
        TASK_QUEUE,
    ),
    _value(f"{FIELD}namespace_open_workflows", "open_workflows", "Workflows that are open now."),
    _rate(
        "total_action_count",
        "total_action",
        "Actions of the namespace.",
        "is_background",
        "namespace_mode",
    ),
    _rate(
        "billable_action_count",
        "billable_action",
        "Actions by type: what a bill counts, as far as it is known in memory.",
        "action_type",
        WORKFLOW_TYPE,
    ),
)
