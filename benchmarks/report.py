"""Records: one per server and load, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.load import Tally
from benchmarks.windows import CLEAN_WINDOWS_MIN, FOREIGN_SHARE_MAX, Summary

Record = dict[str, Any]

COLUMNS = (
    ("name", "{}"),
    ("server", "{}"),
    ("load", "{}"),
    ("rate_per_s", "{:.1f}"),
    ("p50_ms", "{:.2f}"),
    ("p99_ms", "{:.2f}"),
    ("server_cpu_s_per_1000", "{:.3f}"),
    ("share_of_floor", "{:.2f}"),
    ("errors", "{}"),
    ("lost", "{}"),
    ("duplicates", "{}"),
    ("foreign_share", "{:.0%}"),
    ("clean_windows", "{}"),
)


def record(
    name: str, server: str, load: str, summary: Summary, tally: Tally, **conditions: Any
) -> Record:
    """One line of figures; `conditions` says under which it was measured."""
    figures = asdict(summary)
    measured = {
        "measured_seconds": figures.pop("measured_seconds"),
        "foreign_share_max": FOREIGN_SHARE_MAX,
    }
    problems = asdict(tally)
    return {
        "name": name,
        "server": server,
        "load": load,
        **figures,
        "enough_clean_windows": summary.clean_windows >= CLEAN_WINDOWS_MIN,
        **problems,
        "conditions": {**conditions, **measured},
    }


def beside_floor(records: Sequence[Record], floor_rate_per_s: float) -> None:
    """Write the floor's rate of the same invocation into each record, and the share of it."""
    for row in records:
        row["floor_rate_per_s"] = floor_rate_per_s
        row["share_of_floor"] = row["rate_per_s"] / floor_rate_per_s if floor_rate_per_s else 0.0


def document(name: str, records: Sequence[Record]) -> Record:
    """What a run writes for programs: the product's record with the best rate, and all of them.

    Where the product took no part, the floor's best record stands in front.
    """
    product = [row for row in records if row["server"] == "product" and row["name"] == name]
    headline = max(product or records, key=lambda row: row["rate_per_s"])
    return {**headline, "name": name, "records": list(records)}


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """The records as aligned columns; `!` marks a figure without enough clean windows."""
    rows = [[name for name, _ in COLUMNS]]
    for row in records:
        cells = [form.format(row[name]) for name, form in COLUMNS]
        cells[-1] += f" of {row['windows']}" + ("" if row["enough_clean_windows"] else " !")
        rows.append(cells)
    widths = [max(len(cells[index]) for cells in rows) for index in range(len(COLUMNS))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) for cells in rows]
    for row in records:
        if row["first_problem"]:
            lines.append(f"{row['server']}: first problem: {row['first_problem']}")
        if note := row.get("note"):
            lines.append(f"{row['name']} {row['server']}: {note}")
    return "\n".join(line.rstrip() for line in dict.fromkeys(lines))
