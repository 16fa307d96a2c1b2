"""The recount: its own rules over what the public API answers, and how it tells a difference."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import perdure.commands.recount as command
import perdure.recount
from perdure.recount import Difference, Key, RunCounters, actions_of_run, recount
from tests.house.source import Source

HOUR = 500_000
TIMES = {HOUR: "2027-01-15T08:00:00.5Z", HOUR + 1: "2027-01-15T09:59:59.999999999Z"}
ROOT = "/api/v1/namespaces/shop.acme"


def event(kind: str, hour: int = HOUR, /, **attributes: Any) -> dict[str, Any]:
    """One event as the API writes it; `kind` in capitals, its attributes' name follows from it."""
    first, *rest = kind.lower().split("_")
    name = first + "".join(word.capitalize() for word in rest) + "EventAttributes"
    return {
        "eventType": f"EVENT_TYPE_{kind}",
        "eventTime": TIMES[hour],
        name: attributes,
    }


def started(hour: int = HOUR, /, **attributes: Any) -> dict[str, Any]:
    known = {"workflowType": {"name": "Order"}, "taskQueue": {"name": "orders"}}
    return event("WORKFLOW_EXECUTION_STARTED", hour, **known, **attributes)


TASK_SCHEDULED = event("WORKFLOW_TASK_SCHEDULED")
SIGNALED = event("WORKFLOW_EXECUTION_SIGNALED")
DELAYED = {"firstWorkflowTaskBackoff": "30s"}
WITH_START = {("signal_with_start", HOUR): 1}


def marker(task: str, name: str, hour: int = HOUR) -> dict[str, Any]:
    return event("MARKER_RECORDED", hour, markerName=name, workflowTaskCompletedEventId=task)


def upsert(*names: str) -> dict[str, Any]:
    fields = {name: "x" for name in names}
    attributes = {"searchAttributes": {"indexedFields": fields}} if names else {}
    return event("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES", **attributes)


def counters(counts: Mapping[tuple[str, int], int]) -> RunCounters:
    return RunCounters("Order", "orders", counts)


def key(action: str, hour: int = HOUR) -> Key:
    return Key(hour, action, "Order", "orders")


@pytest.mark.parametrize(
    ("events", "counts", "actions"),
    [
        ([started(), TASK_SCHEDULED], {}, {"start_workflow": 1}),
        ([started(initiator="CONTINUE_AS_NEW_INITIATOR_RETRY", attempt=2)], {}, {}),
        (
            [started(initiator="CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE"), SIGNALED],
            {},
            {"start_workflow": 1, "signal_workflow": 1},
        ),
        (
            [started(initiator="CONTINUE_AS_NEW_INITIATOR_WORKFLOW"), SIGNALED],
            {},
            {"continue_as_new_workflow": 1, "signal_workflow": 1},
        ),
        (
            [started(initiator="CONTINUE_AS_NEW_INITIATOR_WORKFLOW"), SIGNALED],
            WITH_START,
            {"continue_as_new_workflow": 1, "signal_workflow_with_start": 1},
        ),
        ([started(), SIGNALED, TASK_SCHEDULED], WITH_START, {"signal_workflow_with_start": 1}),
        (
            [started(), TASK_SCHEDULED, SIGNALED],
            WITH_START,
            {"start_workflow": 1, "signal_workflow_with_start": 1},
        ),
        (
            [started(), SIGNALED, TASK_SCHEDULED, SIGNALED],
            {("signal_with_start", HOUR): 2},
            {"signal_workflow_with_start": 2},
        ),
        ([started(**DELAYED), SIGNALED], WITH_START, {"signal_workflow_with_start": 1}),
        (
            [started(**DELAYED), SIGNALED],
            {**WITH_START, ("workflow_started", HOUR): 1},
            {"start_workflow": 1, "signal_workflow_with_start": 1},
        ),
        (
            [started(), marker("4", "SideEffect"), marker("4", "x"), marker("9", "SideEffect")],
            {},
            {"start_workflow": 1, "record_activity_markers": 2},
        ),
        ([started(), marker("4", "core_patch"), marker("4", "Version")], {}, {"start_workflow": 1}),
        (
            [started(), upsert("City", "TemporalChangeVersion")],
            {},
            {"start_workflow": 1, "upsert_workflow_search_attributes": 1},
        ),
        ([started(), upsert("TemporalChangeVersion"), upsert()], {}, {"start_workflow": 1}),
        (
            [started(), event("ACTIVITY_TASK_SCHEDULED"), event("ACTIVITY_TASK_STARTED")],
            {("activity_retried", HOUR): 2},
            {"start_workflow": 1, "schedule_activity": 1, "retry_activity": 2},
        ),
        (
            [started(), event("TIMER_STARTED"), event("TIMER_FIRED")],
            {},
            {"start_workflow": 1, "start_timer": 1},
        ),
        ([started(), event("WORKFLOW_EXECUTION_TERMINATED")], {}, {"start_workflow": 1}),
        ([], {("workflow_queried", HOUR): 3}, {"query_workflow": 3}),
        ([], WITH_START, {"signal_workflow_with_start": 1}),
        ([], {("workflow_started", HOUR): 1}, {"start_workflow": 1}),
    ],
)
def test_a_run_costs_what_its_history_and_counters_say(
    events: list[dict[str, Any]],
    counts: Mapping[tuple[str, int], int],
    actions: dict[str, int],
) -> None:
    expected = {key(action): count for action, count in actions.items()}
    assert actions_of_run(events, counters(counts)) == expected


def test_an_action_is_in_the_hour_of_its_event() -> None:
    events = [started(), event("TIMER_STARTED", HOUR + 1)]
    counts = {("workflow_queried", HOUR + 1): 1}
    assert actions_of_run(events, counters(counts)) == {
        key("start_workflow"): 1,
        key("start_timer", HOUR + 1): 1,
        key("query_workflow", HOUR + 1): 1,
    }


def test_a_counter_without_a_rule_shows_under_its_own_name() -> None:
    assert actions_of_run([], counters({("dreamed", HOUR): 1})) == {key("dreamed"): 1}


class Cloud:
    """The four public reads of one namespace, a row on each page."""

    def __init__(self) -> None:
        self.histories: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.summaries: dict[str, dict[tuple[str, int], int]] = {}
        self.usage: dict[Key, int] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.shown_twice = 0

    async def get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        self.asked.append((path, params))
        if path.endswith("/history"):
            workflow_id = path.removeprefix(f"{ROOT}/workflows/").removesuffix("/history")
            events = self.histories[workflow_id, params["execution.runId"]]
            return page(events, "events", params, within="history")
        name, rows_of = {
            "/api/v1/usage": ("usage", self._usage_rows),
            f"{ROOT}/run-summaries": ("summaries", self._summary_rows),
            f"{ROOT}/workflows": ("executions", self._run_rows),
        }[path]
        onward = "next_page_token" if name == "usage" else "nextPageToken"
        return page(rows_of(params), name, params, onward=onward)

    def _usage_rows(self, params: Mapping[str, str]) -> list[dict[str, Any]]:
        assert params["namespace"] == "shop.acme"
        first, end = int(params.get("from", 0)), int(params.get("to", HOUR * 2))
        return [
            {
                "hour": at.hour,
                "action": at.action,
                "workflow_type": at.workflow_type,
                "task_queue": at.task_queue,
                "count": str(count),
            }
            for at, count in self.usage.items()
            if first <= at.hour < end
        ]

    def _summary_rows(self, _: Mapping[str, str]) -> list[dict[str, Any]]:
        return [
            {
                "execution": {"workflowId": "w", "runId": run_id},
                "workflowType": "Order",
                "taskQueue": "orders",
                "counters": [
                    {"kind": kind, "hour": hour, "count": str(count)}
                    for (kind, hour), count in counts.items()
                ],
            }
            for run_id, counts in self.summaries.items()
        ]

    def _run_rows(self, _: Mapping[str, str]) -> list[dict[str, Any]]:
        rows = [
            {"execution": {"workflowId": workflow_id.replace("%2F", "/"), "runId": run_id}}
            for workflow_id, run_id in self.histories
        ]
        return rows + rows[: self.shown_twice]


def page(
    rows: list[dict[str, Any]],
    name: str,
    params: Mapping[str, str],
    *,
    within: str = "",
    onward: str = "nextPageToken",
) -> dict[str, Any]:
    place = int(params.get(onward, 0))
    answer: dict[str, Any] = {name: rows[place : place + 1]} if rows else {}
    answer = {within: answer} if within else answer
    return answer | ({onward: str(place + 1)} if place + 1 < len(rows) else {})


@pytest.fixture
def cloud() -> Cloud:
    """Two runs with a history, one of which counted a query, and one known by its counters."""
    cloud = Cloud()
    cloud.histories["order%2F1", "run-1"] = [started(), TASK_SCHEDULED, event("TIMER_STARTED")]
    cloud.histories["order%2F1", "run-2"] = [started(HOUR + 1)]
    cloud.summaries["run-1"] = {("workflow_queried", HOUR): 2}
    cloud.summaries["run-0"] = {("activity_retried", HOUR): 1}
    cloud.usage = {
        key("start_workflow"): 1,
        key("start_timer"): 1,
        key("query_workflow"): 2,
        key("retry_activity"): 1,
        key("start_workflow", HOUR + 1): 1,
    }
    return cloud


async def test_equal_counts_have_no_difference(cloud: Cloud) -> None:
    outcome = await recount(cloud.get, "shop.acme")
    assert outcome.differences == ()
    assert (outcome.recounted, outcome.usage) == (6, 6)
    assert (outcome.runs, outcome.runs_without_history) == (3, 1)


@pytest.mark.parametrize(
    ("changed", "usage"), [("start_timer", 0), ("query_workflow", 1), ("query_workflow", 3)]
)
async def test_usage_that_is_too_low_or_too_high_is_a_difference(
    cloud: Cloud, changed: str, usage: int
) -> None:
    recounted = cloud.usage[key(changed)]
    cloud.usage[key(changed)] = usage
    outcome = await recount(cloud.get, "shop.acme")
    assert outcome.differences == (Difference(key(changed), recounted, usage),)


async def test_what_a_run_without_a_history_may_have_done_is_no_difference(cloud: Cloud) -> None:
    cloud.usage[key("start_timer")] = 2
    outcome = await recount(cloud.get, "shop.acme")
    assert (outcome.differences, outcome.untold) == ((), (Difference(key("start_timer"), 1, 2),))
    assert await command.run(arguments(), cloud.get) == command.EXIT_UNTOLD
    del cloud.summaries["run-0"], cloud.usage[key("retry_activity")]
    outcome = await recount(cloud.get, "shop.acme")
    assert (outcome.differences, outcome.untold) == ((Difference(key("start_timer"), 1, 2),), ())


async def test_usage_of_a_run_that_nobody_knows_is_a_difference(cloud: Cloud) -> None:
    stray = Key(HOUR, "start_workflow", "Ghost", "orders")
    cloud.usage[stray] = 1
    outcome = await recount(cloud.get, "shop.acme")
    assert outcome.differences == (Difference(stray, 0, 1),)


async def test_a_signal_counted_twice_shows_though_it_is_below_zero(cloud: Cloud) -> None:
    cloud.summaries["run-1"][("signal_with_start", HOUR)] = 1
    outcome = await recount(cloud.get, "shop.acme")
    assert Difference(key("signal_workflow"), -1, 0) in outcome.differences


async def test_only_the_hours_asked_for_are_compared(cloud: Cloud) -> None:
    del cloud.usage[key("start_timer")]
    later = await recount(cloud.get, "shop.acme", from_hour=HOUR + 1)
    assert (later.differences, later.recounted) == ((), 1)
    earlier = await recount(cloud.get, "shop.acme", to_hour=HOUR + 1)
    assert (len(earlier.differences), earlier.recounted) == (1, 5)


async def test_a_run_that_moves_between_pages_counts_once(cloud: Cloud) -> None:
    cloud.shown_twice = 1
    assert (await recount(cloud.get, "shop.acme")).differences == ()


async def test_ids_with_slashes_stay_in_their_segment(cloud: Cloud) -> None:
    await recount(cloud.get, "shop.acme")
    paths = {path for path, _ in cloud.asked}
    assert f"{ROOT}/workflows/order%2F1/history" in paths


async def test_the_command_succeeds_where_nothing_differs(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command.run(arguments(), cloud.get) == command.EXIT_EQUAL
    assert capsys.readouterr().out.splitlines() == [
        "Runs without a history any more: 1; only what their counters hold was recounted",
        "Runs: 3. Actions recounted: 6, in the usage: 6: equal",
    ]


async def test_the_command_fails_with_a_table_of_the_differences(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.usage[key("query_workflow")] = 4
    assert await command.run(arguments(), cloud.get) == command.EXIT_DIFFERENT
    header, row, _, verdict = capsys.readouterr().out.splitlines()
    assert header.split() == "HOUR ACTION TYPE QUEUE RECOUNT USAGE DIFFERENCE".split()
    assert row.split() == ["2027-01-15T08", "query_workflow", "Order", "orders", "2", "4", "+2"]
    assert verdict == "Runs: 3. Actions recounted: 6, in the usage: 8: different in 1"


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    parsed = parser.parse_args(words)
    parsed.namespace = "shop.acme"
    return parsed


def test_hours_are_written_as_utc_times() -> None:
    parsed = arguments("--from", "2027-01-15T08", "--to", "2027-01-15T10:00+01:00")
    assert (parsed.from_hour, parsed.to_hour) == (HOUR, HOUR + 1)
    assert (arguments().from_hour, arguments().to_hour) == (None, None)


@pytest.mark.parametrize("text", ["tomorrow", "2027-01-15T08:30"])
def test_what_is_no_whole_hour_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 2026-01-31T13"):
        command.parse_hour(text)


def test_the_recount_knows_nothing_of_the_clouds_code() -> None:
    for module in (perdure.recount, command):
        path = Path(module.__file__ or "")
        imports = Source("sdk/recount.py", path.read_text(encoding="utf-8")).imports()
        imported = {origin.partition(".")[0] for origin, _ in imports}
        assert "__future__" in imported
        assert not imported & {"api", "billing", "engine", "tenancy", "web", "temporalio"}
