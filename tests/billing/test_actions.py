"""The table of Actions against what the engine counts."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from billing.actions import ACTIONS, FREE, Action
from billing.errors import FactsUnreadable, UnknownFact
from billing.facts import FactRow, UsageKey, count_actions
from engine.metering.facts import Fact, FactKind, fold

HOUR = 500_000

EXPECTED = {
    FactKind.WORKFLOW_STARTED: "start_workflow",
    FactKind.WORKFLOW_CONTINUED_AS_NEW: "continue_as_new_workflow",
    FactKind.WORKFLOW_SIGNALED: "signal_workflow",
    FactKind.SIGNAL_WITH_START: "signal_workflow_with_start",
    FactKind.ACTIVITY_SCHEDULED: "schedule_activity",
    FactKind.ACTIVITY_RETRIED: "retry_activity",
    FactKind.ACTIVITY_HEARTBEAT_RECORDED: "record_activity_heartbeat",
    FactKind.ACTIVITY_HEARTBEAT_RECORDED_BY_ID: "record_activity_heartbeat_by_id",
    FactKind.LOCAL_ACTIVITY_RETRIED: "retry_activity_local",
    FactKind.TIMER_STARTED: "start_timer",
    FactKind.MARKERS_RECORDED: "record_activity_markers",
    FactKind.SEARCH_ATTRIBUTES_UPSERTED: "upsert_workflow_search_attributes",
    FactKind.WORKFLOW_TASK_HEARTBEAT: "record_workflow_heartbeat",
    FactKind.WORKFLOW_QUERIED: "query_workflow",
}


def row_of(blob: bytes) -> FactRow:
    return FactRow("cell-a", 3, 17, 1, blob)


def test_every_fact_kind_has_exactly_one_action_or_is_free() -> None:
    listed = [kind for action in ACTIONS for kind in action.fact_kinds] + list(FREE)
    assert Counter(listed) == Counter(list(FactKind))


def test_action_names_are_unique() -> None:
    assert max(Counter(action.name for action in ACTIONS).values()) == 1


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_an_action_states_its_rule_in_one_sentence(action: Action) -> None:
    assert action.rule.endswith(".")
    assert action.rule.count(".") == 1


@pytest.mark.parametrize("kind", FactKind)
def test_a_fact_becomes_its_action_in_its_own_hour(kind: FactKind) -> None:
    fact = Fact("acme-1", kind, "Order", "orders", HOUR, 3)
    key = UsageKey("acme-1", EXPECTED[kind], "Order", "orders", HOUR)
    assert count_actions(row_of(fold([fact]))) == {key: 3}


def test_a_free_fact_becomes_no_action(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FREE, "workflow_terminated", "ending a run is free")
    fact = Fact("acme-1", "workflow_terminated", "Order", "orders", HOUR, 1)
    assert count_actions(row_of(fold([fact]))) == {}


def test_a_fact_without_a_rule_is_refused_by_name() -> None:
    fact = Fact("acme-1", "workflow_dreamed", "Order", "orders", HOUR, 1)
    with pytest.raises(UnknownFact, match="workflow_dreamed"):
        count_actions(row_of(fold([fact])))


@pytest.mark.parametrize("blob", [b"", b"\xc1", msgspec.msgpack.encode([["acme-1", 7]])])
def test_a_damaged_row_is_refused_with_its_place(blob: bytes) -> None:
    with pytest.raises(FactsUnreadable, match="shard 3, sequence 17"):
        count_actions(row_of(blob))
