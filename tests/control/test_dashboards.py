"""Dashboards and alerts ask for what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.metrics.families import FAMILIES
from api.telemetry.dashboards import DASHBOARDS
from api.telemetry.grafana import COLUMNS, grafana
from api.telemetry.instruments import INSTRUMENTS, OF_THE_SYSTEM, Type

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "dashboards"
DOCUMENT = FOLDER.parents[1] / "docs" / "metrics.md"
METRIC = re.compile(r"\b(?:perdure|temporal|process)_\w+")
LABELS = re.compile(r"\b(temporal_namespace|temporal_task_queue)\b(?=[,)=!~]|\s*$)")
DOCUMENTED = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def known_metrics() -> set[str]:
    """Everything that a query may name: what the document lists, and the parts of histograms."""
    listed = set(DOCUMENTED.findall(DOCUMENT.read_text(encoding="utf-8")))
    parts = {
        f"{it.full_name}_{part}"
        for it in INSTRUMENTS.values()
        if it.type is Type.HISTOGRAM
        for part in ("bucket", "sum", "count")
    }
    return listed | parts


def queries_of(name: str) -> Iterator[str]:
    told: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for panel in told["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in told["templating"]["list"]:
        yield variable["query"]


def unknown_in(query: str) -> set[str]:
    return set(METRIC.findall(LABELS.sub("", query))) - known_metrics()


def test_the_document_lists_all_metrics_of_the_tables() -> None:
    shown = {instrument.shown_name for instrument in INSTRUMENTS.values()}
    assert shown | set(OF_THE_SYSTEM) | {family.name for family in FAMILIES} <= known_metrics()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_asks_for_metrics_that_exist(name: str) -> None:
    queries = list(queries_of(name))
    assert [unknown_in(query) for query in queries] == [set()] * len(queries)
    assert sum(bool(METRIC.search(query)) for query in queries) == len(queries) - 1


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboards_file_is_what_the_code_makes(name: str) -> None:
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert text == grafana(name, DASHBOARDS[name]), "run ./dev python -m api.telemetry"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_panels_of_a_dashboard_lie_side_by_side(name: str) -> None:
    panels = json.loads(grafana(name, DASHBOARDS[name]))["panels"]
    places = [panel["gridPos"] for panel in panels]
    assert len({(place["x"], place["y"]) for place in places}) == len(panels)
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_number_for_operators_is_on_a_dashboard() -> None:
    asked = " ".join(query for name in DASHBOARDS for query in queries_of(name))
    missing = {it.full_name for it in INSTRUMENTS.values() if it.full_name not in asked}
    assert missing == set()


def test_alerts_ask_for_metrics_that_exist_and_say_what_is_wrong() -> None:
    told = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    rules = [rule for group in told["groups"] for rule in group["rules"]]
    assert rules
    for rule in rules:
        assert unknown_in(rule["expr"]) == set(), rule["alert"]
        assert METRIC.search(rule["expr"])
        assert rule["labels"]["severity"] in ("page", "look")
        assert rule["annotations"]["summary"]
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_a_query_for_what_does_not_exist_is_found() -> None:
    assert unknown_in("sum by (temporal_namespace) (perdure_invented_total)") == {
        "perdure_invented_total"
    }
