"""Dashboards as Grafana imports them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GRAFANA_SCHEMA = 39
COLUMNS = 24
PANEL_WIDTH, PANEL_HEIGHT = 8, 8
SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over time. `queries` maps what a line is called to its PromQL."""

    title: str
    told: str
    unit: str
    queries: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`choices` maps variables to the label values that they may have."""

    title: str
    panels: Sequence[Panel]
    choices: Mapping[str, str]


def grafana(name: str, dashboard: Dashboard) -> str:
    """The dashboard as Grafana imports it."""
    return (
        json.dumps(
            {
                "uid": f"perdure-{name}",
                "title": dashboard.title,
                "tags": ["perdure"],
                "schemaVersion": GRAFANA_SCHEMA,
                "editable": True,
                "refresh": "30s",
                "time": {"from": "now-1h", "to": "now"},
                "templating": {"list": [_source(), *map(_choice, dashboard.choices.items())]},
                "panels": [_panel(number, it) for number, it in enumerate(dashboard.panels)],
            },
            indent=2,
        )
        + "\n"
    )


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}


def _choice(choice: tuple[str, str]) -> dict[str, Any]:
    name, query = choice
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number * PANEL_WIDTH, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.told,
        "datasource": SOURCE,
        "gridPos": {
            "x": column,
            "y": row * PANEL_HEIGHT,
            "w": PANEL_WIDTH,
            "h": PANEL_HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }
