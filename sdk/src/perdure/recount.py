"""The recount: Actions computed again from what everybody can read, compared with the usage.

It reads histories, run summaries and usage through the public API, and its rules are its own: the
cloud's code has no part in them. Equal means equal, for each hour, action, type and queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

COUNTER_ACTIONS = {
    "signal_with_start": "signal_workflow_with_start",
    "activity_retried": "retry_activity",
    "activity_heartbeat_recorded": "record_activity_heartbeat",
    "activity_heartbeat_recorded_by_id": "record_activity_heartbeat_by_id",
    "local_activity_retried": "retry_activity_local",
    "workflow_task_heartbeat": "record_workflow_heartbeat",
    "workflow_queried": "query_workflow",
}
"""What histories do not show: the counters of a run summary, one Action each."""

TOLD_BY_COUNTERS = frozenset(COUNTER_ACTIONS.values())

DELAYED_START = "workflow_started"
"""The counter of a delayed start, whose history alone could be that of a signal-with-start."""

EVENT_ACTIONS = {
    "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED": "signal_workflow",
    "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED": "schedule_activity",
    "EVENT_TYPE_TIMER_STARTED": "start_timer",
}
"""Events that are one Action each; the others have a function or are free."""

INITIATOR_ACTIONS = {
    "CONTINUE_AS_NEW_INITIATOR_WORKFLOW": "continue_as_new_workflow",
    "CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE": "start_workflow",
    "CONTINUE_AS_NEW_INITIATOR_RETRY": None,
}
"""What a run costs that follows another one: an attempt of a retry policy is free."""

STARTED = "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"
SIGNALED = "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED"
MARKER_RECORDED = "EVENT_TYPE_MARKER_RECORDED"
UPSERTED = "EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"
FREE_MARKERS = frozenset({"core_patch", "Version"})
FREE_ATTRIBUTES = frozenset({"TemporalChangeVersion"})

Json = Mapping[str, Any]
Event = Mapping[str, Any]


class Get(Protocol):
    """GET of a path below the address with query parameters: the answer's JSON."""

    async def __call__(self, path: str, params: Mapping[str, str]) -> Json: ...


class Key(NamedTuple):
    """What Actions are counted by. `hour` is hours since the epoch, UTC."""

    hour: int
    action: str
    workflow_type: str
    task_queue: str


class Difference(NamedTuple):
    """A key whose recounted Actions are not those of the usage."""

    key: Key
    recounted: int
    usage: int


class RunCounters(NamedTuple):
    """A run summary: the type and queue of the run, and (kind, hour) → count."""

    workflow_type: str
    task_queue: str
    counts: Mapping[tuple[str, int], int]


@dataclass(frozen=True)
class Recount:
    """The outcome. `runs_without_history` are known by their counters alone: after retention
    their start, activities, timers and signals cannot be told again. Where these may be all that
    usage has more, of their type and queue, the difference is `untold` and not among
    `differences`.
    """

    recounted: int
    usage: int
    runs: int
    runs_without_history: int
    differences: tuple[Difference, ...]
    untold: tuple[Difference, ...]


async def recount(
    get: Get, namespace: str, from_hour: int | None = None, to_hour: int | None = None
) -> Recount:
    """Compare the hours from `from_hour` to before `to_hour`; None is no bound.

    Runs that act while it reads, and usage not yet collected, show as differences.
    """
    root = f"/api/v1/namespaces/{quote(namespace, safe='')}"
    window = {"from": from_hour, "to": to_hour}
    bounds = {name: str(hour) for name, hour in window.items() if hour is not None}
    usage: Counter[Key] = Counter()
    wanted = {"namespace": namespace, **bounds}
    async for row in _pages(get, "/api/v1/usage", "usage", wanted, onward="next_page_token"):
        key = Key(int(row["hour"]), row["action"], row["workflow_type"], row["task_queue"])
        usage[key] += int(row["count"])
    summaries: dict[str, RunCounters] = {}
    async for row in _pages(get, f"{root}/run-summaries", "summaries", {}):
        summaries[row["execution"]["runId"]] = _counters(row)
    recounted: Counter[Key] = Counter()
    run_ids: set[str] = set()
    async for run in _pages(get, f"{root}/workflows", "executions", {}):
        workflow_id, run_id = run["execution"]["workflowId"], run["execution"]["runId"]
        if run_id in run_ids:
            continue
        run_ids.add(run_id)
        path = f"{root}/workflows/{quote(workflow_id, safe='')}/history"
        pages = _pages(get, path, "events", {"execution.runId": run_id}, within="history")
        summary = summaries.get(run_id)
        # Not `+=`, which drops what is below zero and with it a difference.
        recounted.update(actions_of_run([event async for event in pages], summary))
    forgotten = summaries.keys() - run_ids
    for run_id in forgotten:
        recounted.update(actions_of_run([], summaries[run_id]))
    gone = {(summaries[it].workflow_type, summaries[it].task_queue) for it in forgotten}

    def untold(found: Difference) -> bool:
        of_gone = (found.key.workflow_type, found.key.task_queue) in gone
        is_countable = found.key.action in TOLD_BY_COUNTERS
        return of_gone and not is_countable and 0 <= found.recounted < found.usage

    recounted = Counter({k: n for k, n in recounted.items() if _is_within(k, from_hour, to_hour)})
    found = _differences(recounted, usage)
    return Recount(
        recounted=recounted.total(),
        usage=usage.total(),
        runs=len(run_ids | forgotten),
        runs_without_history=len(forgotten),
        differences=tuple(it for it in found if not untold(it)),
        untold=tuple(filter(untold, found)),
    )


def actions_of_run(events: Sequence[Event], summary: RunCounters | None) -> Counter[Key]:
    """The Actions of one run by its whole history and its counters, either of which may lack."""
    counts: Counter[tuple[int, str]] = Counter()
    counters = summary.counts if summary else {}
    for (kind, hour), count in counters.items():
        if kind == DELAYED_START:
            counts[hour, "start_workflow"] += not events
            continue
        counts[hour, COUNTER_ACTIONS.get(kind, kind)] += count
        if kind == "signal_with_start" and events:
            # The call left a signaled event, but is an Action of its own and not a signal.
            counts[hour, "signal_workflow"] -= count
    for event in events:
        action = EVENT_ACTIONS.get(event["eventType"])
        if action:
            counts[_hour(event), action] += 1
        elif event["eventType"] == UPSERTED and not _is_free_upsert(event):
            counts[_hour(event), "upsert_workflow_search_attributes"] += 1
    for hour in _marked_task_hours(events):
        counts[hour, "record_activity_markers"] += 1
    workflow_type, task_queue = "", ""
    if events:
        started = events[0]["workflowExecutionStartedEventAttributes"]
        workflow_type = started["workflowType"]["name"]
        task_queue = started["taskQueue"]["name"]
        action = _start_action(events, counters)
        if action:
            counts[_hour(events[0]), action] += 1
    elif summary:
        workflow_type, task_queue = summary.workflow_type, summary.task_queue
    return Counter(
        {
            Key(hour, action, workflow_type, task_queue): count
            for (hour, action), count in counts.items()
            if count
        }
    )


def _start_action(events: Sequence[Event], counters: Mapping[tuple[str, int], int]) -> str | None:
    """What the first event costs: a start, a continued run, or nothing of its own."""
    attributes = events[0]["workflowExecutionStartedEventAttributes"]
    initiator = attributes.get("initiator")
    if initiator in INITIATOR_ACTIONS:
        return INITIATOR_ACTIONS[initiator]
    # Behind a plain start stands its workflow task; where that is delayed, a counter tells.
    is_signaled = len(events) > 1 and events[1]["eventType"] == SIGNALED
    if is_signaled and (DELAYED_START, _hour(events[0])) not in counters:
        return None
    return "start_workflow"


def _is_free_upsert(event: Event) -> bool:
    """Whether it sets the SDK's change version alone, or nothing."""
    attributes = event["upsertWorkflowSearchAttributesEventAttributes"]
    names = attributes.get("searchAttributes", {}).get("indexedFields", {})
    return frozenset(names) <= FREE_ATTRIBUTES


def _marked_task_hours(events: Iterable[Event]) -> Iterable[int]:
    """The hour of each workflow task that recorded a marker which is not free."""
    hours: dict[str, int] = {}
    for event in events:
        if event["eventType"] == MARKER_RECORDED:
            attributes = event["markerRecordedEventAttributes"]
            if attributes.get("markerName", "") not in FREE_MARKERS:
                hours.setdefault(str(attributes["workflowTaskCompletedEventId"]), _hour(event))
    return hours.values()


def _counters(summary: Json) -> RunCounters:
    counts: Counter[tuple[str, int]] = Counter()
    for row in summary.get("counters", ()):
        counts[row["kind"], int(row["hour"])] += int(row["count"])
    return RunCounters(summary["workflowType"], summary["taskQueue"], counts)


def _differences(recounted: Counter[Key], usage: Counter[Key]) -> tuple[Difference, ...]:
    return tuple(
        Difference(key, recounted[key], usage[key])
        for key in sorted(recounted.keys() | usage.keys())
        if recounted[key] != usage[key]
    )


def _is_within(key: Key, from_hour: int | None, to_hour: int | None) -> bool:
    return (from_hour is None or key.hour >= from_hour) and (to_hour is None or key.hour < to_hour)


def _hour(event: Event) -> int:
    # The first nineteen characters are the time to the second; the rest is its fraction and Z.
    time = datetime.fromisoformat(event["eventTime"][:19]).replace(tzinfo=UTC)
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(hours=1)


async def _pages(
    get: Get,
    path: str,
    field: str,
    params: Mapping[str, str],
    *,
    within: str | None = None,
    onward: str = "nextPageToken",
) -> AsyncIterator[Json]:
    """The rows of all pages: `field` of the answer, or of its object `within`.

    `onward` is what the path calls the token of the next page.
    """
    page_token = ""
    while True:
        token = {onward: page_token} if page_token else {}
        answer = await get(path, {**params, **token})
        for row in (answer.get(within, {}) if within else answer).get(field, ()):
            yield row
        page_token = answer.get(onward, "")
        if not page_token:
            return
