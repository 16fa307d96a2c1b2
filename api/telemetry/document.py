"""The tables of `docs/metrics.md`, made from the code: `./dev python -m api.telemetry`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from api.metrics.account import POINTS_MAX
from api.metrics.families import FAMILIES, Family
from api.metrics.points import SERIES_MAX
from api.metrics.scrape_limits import SCRAPES_AT_ONCE_MAX, SCRAPES_PER_HOUR_MAX
from api.telemetry.instruments import INSTRUMENTS, OF_THE_SYSTEM

PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """The document with its tables as they are now."""
    return PLACE.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n", text)


def _operators() -> str:
    return _table(
        ("metric", "type", "labels", "told by", "meaning"),
        (
            (f"`{it.shown_name}`", it.type, _quoted(it.labels), it.part, it.help)
            for it in INSTRUMENTS.values()
        ),
    )


def _system() -> str:
    return _table(("metric", "meaning"), ((f"`{k}`", v) for k, v in OF_THE_SYSTEM.items()))


def _customers() -> str:
    return _table(
        ("metric", "measures", "labels", "meaning"),
        ((f"`{it.name}`", it.measures, _labels_of(it), it.help) for it in FAMILIES),
    )


def _labels_of(family: Family) -> str:
    on_request = [f"(`{label}`)" for label in family.on_request]
    return ", ".join(filter(None, (_quoted(family.labels), *on_request)))


def _limits() -> str:
    return _table(
        ("limit", "at most"),
        (
            ("scrapes of an account in an hour", f"{SCRAPES_PER_HOUR_MAX:,}"),
            ("of these at once", f"{SCRAPES_AT_ONCE_MAX:,}"),
            ("series of one metric and namespace", f"{SERIES_MAX:,}"),
            ("numbers in one answer", f"{POINTS_MAX:,}"),
        ),
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "operators": _operators,
    "system": _system,
    "customers": _customers,
    "limits": _limits,
}


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
