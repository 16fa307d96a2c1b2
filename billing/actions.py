"""Actions: what is billed, one row each. The engine counts facts; this table says what they cost.

A fact kind has exactly one row here or is listed as free: a kind without either stops collecting,
so that nothing is lost or given away by accident.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

FIRST_PRICED = date(2026, 1, 1)


class Category(StrEnum):
    """What the console groups Actions by."""

    WORKFLOW = "workflow"
    ACTIVITY = "activity"
    MESSAGE = "message"


@dataclass(frozen=True)
class Action:
    """One billable action.

    `name` is the field's. Each fact of `fact_kinds` costs `actions_per_fact` Actions. `since` is
    the day the rule took effect; an engine emits a fact kind only from that day on.
    """

    name: str
    category: Category
    fact_kinds: tuple[str, ...]
    rule: str
    actions_per_fact: int = 1
    since: date = FIRST_PRICED


ACTIONS: tuple[Action, ...] = (
    Action(
        "start_workflow",
        Category.WORKFLOW,
        ("workflow_started",),
        "Each start by a client and each further run of a cron schedule; failed and deduplicated"
        " starts and the attempts of a retry policy are free.",
    ),
    Action(
        "continue_as_new_workflow",
        Category.WORKFLOW,
        ("workflow_continued_as_new",),
        "Each run that a workflow continues as; it is not also a start.",
    ),
    Action(
        "signal_workflow",
        Category.MESSAGE,
        ("workflow_signaled",),
        "Each signal that a run receives; a deduplicated one is free.",
    ),
    Action(
        "signal_workflow_with_start",
        Category.MESSAGE,
        ("signal_with_start",),
        "Each call, whether or not it starts a run; neither a start nor a signal besides.",
    ),
    Action(
        "query_workflow",
        Category.MESSAGE,
        ("workflow_queried",),
        "Each query; failed and throttled ones are free, and so are the console's views.",
    ),
    Action(
        "schedule_activity",
        Category.ACTIVITY,
        ("activity_scheduled",),
        "Each activity that is scheduled, its first attempt included.",
    ),
    Action(
        "retry_activity",
        Category.ACTIVITY,
        ("activity_retried",),
        "Each attempt of an activity after the first.",
    ),
    Action(
        "record_activity_heartbeat",
        Category.ACTIVITY,
        ("activity_heartbeat_recorded",),
        "Each heartbeat that reaches the cloud.",
    ),
    Action(
        "record_activity_heartbeat_by_id",
        Category.ACTIVITY,
        ("activity_heartbeat_recorded_by_id",),
        "Each heartbeat that reaches the cloud and names its activity by id.",
    ),
    Action(
        "record_activity_markers",
        Category.ACTIVITY,
        ("markers_recorded",),
        "All markers of one workflow task together; patch and version markers are free.",
    ),
    Action(
        "retry_activity_local",
        Category.ACTIVITY,
        ("local_activity_retried",),
        "Each retry of a local activity that a workflow task reports, at most 100 per task.",
    ),
    Action(
        "start_timer",
        Category.WORKFLOW,
        ("timer_started",),
        "Each timer, those inside a condition with a timeout included.",
    ),
    Action(
        "upsert_workflow_search_attributes",
        Category.WORKFLOW,
        ("search_attributes_upserted",),
        "Each upsert, whatever its number of attributes; of the SDK's change version alone, free.",
    ),
    Action(
        "record_workflow_heartbeat",
        Category.WORKFLOW,
        ("workflow_task_heartbeat",),
        "Each workflow task that only asks for more time.",
    ),
)

FREE: dict[str, str] = {}
"""Fact kinds that cost nothing, each with the reason."""

BY_FACT_KIND = {kind: action for action in ACTIONS for kind in action.fact_kinds}
