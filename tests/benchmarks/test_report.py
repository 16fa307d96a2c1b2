"""What a run says of itself, to people and to programs."""

from __future__ import annotations

from benchmarks.load import Tally
from benchmarks.report import Record, beside_floor, document, record, table
from benchmarks.windows import Summary

PROMISED = {
    "name",
    "rate_per_s",
    "p50_ms",
    "p99_ms",
    "server_cpu_s_per_1000",
    "errors",
    "floor_rate_per_s",
    "conditions",
}


def row(server: str, rate_per_s: float, *, clean_windows: int = 3, errors: int = 0) -> Record:
    summary = Summary(
        rate_per_s=rate_per_s,
        p50_ms=1.0,
        p99_ms=2.0,
        server_cpu_s_per_1000=0.5,
        client_cpu_s_per_1000=0.5,
        foreign_share=0.05,
        clean_windows=clean_windows,
        windows=4,
        measured_seconds=20.0,
    )
    tally = Tally(errors=errors, first_problem="it broke" if errors else "")
    return record("hello", server, "closed 64", summary, tally, cores=2)


def rows() -> list[Record]:
    records = [row("floor", 4_000), row("product", 900), row("product", 1_000)]
    beside_floor(records, 4_000)
    return records


def test_the_document_has_every_promised_field_and_the_product_s_best_figures() -> None:
    figures = document("hello", rows())
    assert figures.keys() >= PROMISED
    assert (figures["server"], figures["rate_per_s"]) == ("product", 1_000)
    assert figures["share_of_floor"] == 0.25
    assert figures["conditions"]["cores"] == 2
    assert len(figures["records"]) == 3


def test_where_the_product_took_no_part_the_floor_stands_in_front() -> None:
    records = [row("floor", 3_000), row("floor", 4_000)]
    beside_floor(records, 4_000)
    figures = document("floor", records)
    assert (figures["name"], figures["rate_per_s"]) == ("floor", 4_000)


def test_a_table_shows_problems_and_marks_what_has_too_few_clean_windows() -> None:
    records = [row("floor", 4_000), row("product", 900, clean_windows=1, errors=2)]
    beside_floor(records, 4_000)
    lines = table(records).splitlines()
    assert lines[0].split()[:3] == ["name", "server", "load"]
    assert lines[1].endswith("3 of 4")
    assert lines[2].endswith("1 of 4 !")
    assert "5%" in lines[1]
    assert lines[3] == "product: first problem: it broke"


def test_without_a_floor_there_is_no_share() -> None:
    records = rows()
    beside_floor(records, 0.0)
    assert {record["share_of_floor"] for record in records} == {0.0}
