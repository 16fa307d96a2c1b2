"""Dashboards as data; `./dev python -m api.telemetry` makes `infra/dashboards/*.json` of them."""

from __future__ import annotations

from collections.abc import Mapping

from api.metrics.families import FIELD, OWN
from api.telemetry.grafana import Dashboard, Panel

CELLS, FRONTENDS, CUSTOMERS = "cells", "frontends", "namespaces"


def _quantiles(metric: str, by: str = "") -> dict[str, str]:
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    chosen = '{instance=~"$instance"}'
    return {
        f"{legend}p{number}": f"histogram_quantile({number / 100}, sum by ({labels})"
        f" (rate({metric}_bucket{chosen}[$__rate_interval])))"
        for number in (50, 99)
    }


def _rate(metric: str, by: str) -> str:
    return f'sum by ({by}) (rate({metric}{{instance=~"$instance"}}[$__rate_interval]))'


def _sum(metric: str, by: str = "") -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f'{grouped} ({metric}{{instance=~"$instance"}})'


def _max(metric: str, by: str) -> str:
    return f'max by ({by}) ({metric}{{instance=~"$instance"}})'


_PROCESS = (
    Panel(
        "Event loop",
        "What every call of the process waits at least.",
        "s",
        _quantiles("perdure_event_loop_lag_seconds", "instance"),
    ),
    Panel(
        "Processor",
        "Cores in use.",
        "short",
        {"{{instance}}": _rate("process_cpu_seconds_total", "instance")},
    ),
    Panel(
        "Memory",
        "Of the processes.",
        "bytes",
        {"{{instance}}": _max("process_resident_memory_bytes", "instance")},
    ),
)

_CELLS = Dashboard(
    "Perdure: cells",
    (
        Panel(
            "Commits",
            "Every acknowledgement waits for one.",
            "s",
            _quantiles("perdure_commit_duration_seconds"),
        ),
        Panel(
            "Size of commits",
            "How well steps share transactions.",
            "short",
            {
                "commits/s": _rate("perdure_commit_rows_count", "instance"),
                "rows per commit": f"{_rate('perdure_commit_rows_sum', 'instance')}"
                f" / {_rate('perdure_commit_rows_count', 'instance')}",
            },
        ),
        Panel(
            "Written",
            "Bytes in the rows of commits.",
            "Bps",
            {"{{instance}}": _rate("perdure_commit_bytes_sum", "instance")},
        ),
        Panel(
            "Tasks delivered",
            "By kind.",
            "ops",
            {"{{kind}}": _rate("perdure_tasks_delivered_total", "kind")},
        ),
        Panel(
            "Sync match rate",
            "Tasks that found a poll waiting. Where it falls, workers are short.",
            "percentunit",
            {
                "{{kind}}": f"{_rate('perdure_tasks_matched_at_once_total', 'kind')}"
                f" / {_rate('perdure_tasks_delivered_total', 'kind')}"
            },
        ),
        Panel(
            "Polls",
            "Waiting now, and ended without a task.",
            "short",
            {
                "{{kind}} waiting": _sum("perdure_polls_waiting", "kind"),
                "{{kind}} empty/s": _rate("perdure_polls_empty_total", "kind"),
            },
        ),
        Panel(
            "Backlog",
            "Tasks that wait for a worker.",
            "short",
            {"{{kind}}": _sum("perdure_backlog_tasks", "kind")},
        ),
        Panel(
            "Age of the backlog",
            "Of the task that waits longest.",
            "s",
            {"{{kind}}": _max("perdure_backlog_age_seconds", "kind")},
        ),
        Panel(
            "Task queues",
            "In memory.",
            "short",
            {"{{kind}}": _sum("perdure_task_queues", "kind")},
        ),
        Panel(
            "Timers",
            "How late they were looked at.",
            "s",
            _quantiles("perdure_timer_lag_seconds"),
        ),
        Panel(
            "Shards",
            "Owned, and lost by reason.",
            "short",
            {
                "{{instance}} owned": _sum("perdure_shards_owned", "instance"),
                "lost/s: {{reason}}": _rate("perdure_shards_lost_total", "reason"),
            },
        ),
        Panel(
            "Errors of the store",
            "StoreFull is a full disk.",
            "ops",
            {"{{error}}": _rate("perdure_store_errors_total", "error")},
        ),
        Panel(
            "Runs in memory",
            "And those that left it for want of room.",
            "short",
            {
                "{{instance}}": _sum("perdure_runs_in_memory", "instance"),
                "{{instance}} evicted/s": _rate("perdure_runs_evicted_total", "instance"),
            },
        ),
        Panel(
            "Memory of runs",
            "What they hold of clients' data.",
            "bytes",
            {"{{instance}}": _sum("perdure_runs_in_memory_bytes", "instance")},
        ),
        *_PROCESS,
    ),
    {"instance": "label_values(perdure_shards_owned, instance)"},
)

_FRONTENDS = Dashboard(
    "Perdure: frontends and control plane",
    (
        Panel("Calls", "By RPC.", "ops", {"{{method}}": _rate("perdure_calls_total", "method")}),
        Panel("Answers", "By status.", "ops", {"{{code}}": _rate("perdure_calls_total", "code")}),
        Panel(
            "How long calls take",
            "Polls are not in it.",
            "s",
            _quantiles("perdure_call_duration_seconds"),
        ),
        Panel(
            "Open calls",
            "Polls too.",
            "short",
            {"{{instance}}": _sum("perdure_calls_open", "instance")},
        ),
        Panel(
            "Age of the snapshot",
            "A revocation may be missed for so long.",
            "s",
            {
                "{{instance}}": _max("perdure_snapshot_age_seconds", "instance"),
                "at most": _max("perdure_snapshot_age_max_seconds", "instance"),
            },
        ),
        Panel(
            "Audit records that wait",
            "For the audit log.",
            "short",
            {"{{instance}}": _sum("perdure_audit_records_waiting", "instance")},
        ),
        Panel(
            "Usage",
            "How far the ledger is behind each cell.",
            "s",
            {"{{cell}}": _max("perdure_usage_collected_age_seconds", "cell")},
        ),
        Panel(
            "Letters and webhooks that wait",
            "To be sent.",
            "short",
            {
                "letters": _sum("perdure_letters_waiting"),
                "webhooks": _sum("perdure_webhooks_waiting"),
            },
        ),
        Panel(
            "Errors of the control plane's database",
            "Units of work that it did not do.",
            "ops",
            {"{{instance}}": _rate("perdure_database_errors_total", "instance")},
        ),
        *_PROCESS,
    ),
    {"instance": "label_values(perdure_calls_open, instance)"},
)


def _chosen(metric: str) -> str:
    return f'{metric}{{temporal_namespace=~"$namespace"}}'


def _of_namespace(metric: str, by: str) -> str:
    # The field's numbers are rates already.
    return f"sum by ({by}) ({_chosen(FIELD + metric)})"


_NAMESPACES = Dashboard(
    "Perdure: my namespaces",
    (
        Panel(
            "Calls",
            "",
            "ops",
            {"{{operation}}": _of_namespace("service_request_count", "operation")},
        ),
        Panel(
            "Refused",
            "",
            "ops",
            {
                "{{operation}}": _of_namespace("service_error_count", "operation"),
                "{{operation}}, limits": _of_namespace(
                    "resource_exhausted_error_count", "operation"
                ),
            },
        ),
        Panel(
            "How long calls take",
            "",
            "s",
            {"{{operation}} p99": _chosen(f"{FIELD}service_latency_p99")},
        ),
        Panel(
            "Workflows that ended",
            "",
            "ops",
            {
                how: _of_namespace(f"workflow_{how}_count", "temporal_namespace")
                for how in (
                    "success",
                    "failed",
                    "timeout",
                    "cancel",
                    "terminate",
                    "continued_as_new",
                )
            },
        ),
        Panel(
            "Activities that ended",
            "",
            "ops",
            {
                **{
                    how: _of_namespace(f"activity_{how}_count", "temporal_namespace")
                    for how in ("success", "fail", "timeout", "cancel")
                },
                **{
                    f"attempts, {how}": _of_namespace(
                        f"activity_task_{how}_count", "temporal_namespace"
                    )
                    for how in ("fail", "timeout")
                },
            },
        ),
        Panel(
            "How long activities take",
            "Of workers' time, and from scheduling to end.",
            "s",
            {
                "{{temporal_namespace}} attempt p99": _chosen(
                    f"{FIELD}activity_start_to_close_latency_p99"
                ),
                "{{temporal_namespace}} whole p99": _chosen(
                    f"{FIELD}activity_schedule_to_close_latency_p99"
                ),
            },
        ),
        Panel(
            "Open workflows",
            "",
            "short",
            {
                "{{temporal_namespace}}": _of_namespace(
                    "namespace_open_workflows", "temporal_namespace"
                )
            },
        ),
        Panel(
            "Actions",
            "",
            "ops",
            {"{{action_type}}": _of_namespace("billable_action_count", "action_type")},
        ),
        Panel(
            "Backlog",
            "",
            "short",
            {
                "{{temporal_task_queue}}": _of_namespace(
                    "approximate_backlog_count", "temporal_task_queue"
                )
            },
        ),
        Panel(
            "Age of the backlog",
            "",
            "s",
            {
                "{{temporal_task_queue}}": "max by (temporal_task_queue)"
                f" ({_chosen(f'{OWN}approximate_backlog_age_seconds')})"
            },
        ),
        Panel(
            "Sync match rate",
            "",
            "percentunit",
            {
                "{{temporal_task_queue}}": _of_namespace(
                    "poll_success_sync_count", "temporal_task_queue"
                )
                + " / "
                + _of_namespace("poll_success_count", "temporal_task_queue")
            },
        ),
    ),
    {"namespace": "label_values(temporal_cloud_v1_namespace_open_workflows, temporal_namespace)"},
)

DASHBOARDS: Mapping[str, Dashboard] = {
    CELLS: _CELLS,
    FRONTENDS: _FRONTENDS,
    CUSTOMERS: _NAMESPACES,
}
"""By the names of their files."""
