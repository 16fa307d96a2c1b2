"""Bring `docs/metrics.md` and `infra/dashboards/` up to date."""

from __future__ import annotations

from pathlib import Path

from api.telemetry.dashboards import DASHBOARDS
from api.telemetry.document import filled
from api.telemetry.grafana import grafana

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "metrics.md"
FOLDER = ROOT / "infra" / "dashboards"


def main() -> None:
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(grafana(name, dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
