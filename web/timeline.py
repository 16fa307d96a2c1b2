"""What the timeline element draws: one bar for each step, in milliseconds of the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from web.history import Step, is_noise

ROWS_MAX = 200


def timeline(
    steps: Sequence[Step], *, started_at: datetime | None, ended_at: datetime | None
) -> dict[str, Any]:
    """`end` is null while the workflow runs; a bar's `to` is null while its step does."""
    shown = [step for step in steps if step.started_at and step.kind != "workflow"]
    shown = [step for step in shown if not is_noise(step)]
    first = min((t for t in (started_at, *(s.started_at for s in shown)) if t), default=None)
    return {
        "start": _milliseconds(first),
        "end": _milliseconds(ended_at),
        "hidden": max(len(shown) - ROWS_MAX, 0),
        "rows": [
            {
                "id": step.id,
                "label": step.label,
                "kind": step.kind,
                "status": step.status,
                "from": _milliseconds(step.started_at),
                # What is still open when its workflow closes ends with it.
                "to": _milliseconds(step.ended_at or ended_at),
            }
            for step in shown[:ROWS_MAX]
        ],
    }


def _milliseconds(time: datetime | None) -> float | None:
    return round(time.timestamp() * 1000, 3) if time else None
