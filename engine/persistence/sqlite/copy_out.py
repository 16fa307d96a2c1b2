"""All rows of a store file that nobody writes to, batch by batch behind a place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from engine.persistence.checksum import checked
from engine.persistence.copied import CELL_TABLES, RunRow, SummaryRow
from engine.persistence.protocols import (
    FactRow,
    HistoryBatch,
    ItemKind,
    NamespaceRow,
    RunKey,
    RunWrite,
)
from engine.persistence.sqlite import runs, search
from engine.persistence.sqlite.connection import READER_CACHE_KIB, StoreFile, write_failure
from engine.persistence.sqlite.schema import check

ROWS_PER_BATCH = 500
BYTES_PER_BATCH = 4 * 1024 * 1024
"""A batch ends with the row that reaches it: a run comes whole, with its history."""

T = TypeVar("T")


@contextmanager
def store_file(path: Path) -> Iterator[apsw.Connection]:
    """A connection to read all of it. Raises StoreMismatch, StoreUnavailable."""
    try:
        connection = StoreFile(path).connect(READER_CACHE_KIB)
        try:
            check(connection)
            yield connection
        finally:
            connection.close(True)
    except apsw.Error as error:
        raise write_failure(error) from error


def row_counts(connection: apsw.Connection) -> dict[str, int]:
    return {name: _number(connection, f"SELECT count(*) FROM {name}") for name in CELL_TABLES}


def namespace_ids(connection: apsw.Connection) -> list[str]:
    """Of all rows, those of namespaces that are gone included."""
    rows = connection.execute(
        "SELECT namespace_id FROM namespace UNION SELECT namespace_id FROM visibility"
        " UNION SELECT namespace_id FROM summary ORDER BY 1"
    )
    return [namespace_id for (namespace_id,) in rows]


def run_keys(connection: apsw.Connection) -> Iterator[list[RunKey]]:
    """Every run, some at a time."""
    last: Any = 0
    query = (
        "SELECT number, namespace_id, workflow_id, run_id FROM run"
        " WHERE number > ? ORDER BY number LIMIT ?"
    )
    while rows := list(connection.execute(query, (last, ROWS_PER_BATCH))):
        last = rows[-1][0]
        yield [RunKey(*names) for _, *names in rows]


def progress(
    connection: apsw.Connection, table: str, key: str, behind: tuple[int | str, ...]
) -> tuple[int, int]:
    """How many rows there are up to a place in the order of the key, and how many in all."""
    marks = ", ".join("?" * len(behind))
    statement = f"SELECT count(*) FILTER (WHERE ({key}) <= ({marks})), count(*) FROM {table}"
    counted: Any = connection.execute(statement, behind).fetchall()
    [(done, total)] = counted
    return done, total


def namespaces_behind(connection: apsw.Connection, place: tuple[str]) -> list[NamespaceRow]:
    rows = connection.execute(
        "SELECT namespace_id, name, blob FROM namespace WHERE namespace_id > ?"
        " ORDER BY namespace_id LIMIT ?",
        (*place, ROWS_PER_BATCH),
    )
    return [NamespaceRow(*row) for row in rows]


def runs_behind(connection: apsw.Connection, place: tuple[int]) -> list[RunRow]:
    """With all that hangs on them, behind a number."""
    rows = connection.execute(
        "SELECT number, shard_id, namespace_id, workflow_id, run_id, active, wakeup_at_ns,"
        " checksum, header, EXISTS (SELECT * FROM current_run WHERE"
        " (current_run.workflow_id, current_run.namespace_id, current_run.run_id)"
        " = (run.workflow_id, run.namespace_id, run.run_id))"
        " FROM run WHERE number > ? ORDER BY number LIMIT ?",
        (*place, ROWS_PER_BATCH),
    )
    return _bounded((_run(connection, *row) for row in rows), lambda row: row.size_bytes)


def summaries_behind(connection: apsw.Connection, place: tuple[str, str, str]) -> list[SummaryRow]:
    """Behind a namespace id, run id and workflow id."""
    rows = connection.execute(
        "SELECT namespace_id, workflow_id, run_id, checksum, blob FROM summary"
        " WHERE (namespace_id, run_id, workflow_id) > (?, ?, ?)"
        " ORDER BY namespace_id, run_id, workflow_id LIMIT ?",
        (*place, ROWS_PER_BATCH),
    )
    found = (SummaryRow(RunKey(*names), checked(blob, stored)) for *names, stored, blob in rows)
    return _bounded(found, lambda row: len(row.blob))


def facts_behind(connection: apsw.Connection, place: tuple[int]) -> list[FactRow]:
    return _bounded(runs.read_facts(connection, *place, ROWS_PER_BATCH), lambda row: len(row.blob))


def last_position(connection: apsw.Connection) -> int:
    """The last one that any fact had; readers are behind it, even where no fact is left."""
    return _number(
        connection, "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'fact'), 0)"
    )


def _run(connection: apsw.Connection, number: int, shard_id: int, *columns: Any) -> RunRow:
    *names, active, wakeup_at_ns, stored, header, is_current = columns
    history = [
        HistoryBatch(first, last, checked(blob, blob_stored, first, last))
        for first, last, blob_stored, blob in connection.execute(
            "SELECT first_event_id, last_event_id, checksum, blob FROM history"
            " WHERE run = ? ORDER BY first_event_id",
            (number,),
        )
    ]
    items: dict[tuple[ItemKind, str], bytes | None] = {
        (ItemKind(kind), name): checked(blob, blob_stored, kind)
        for kind, name, blob_stored, blob in connection.execute(
            "SELECT kind, key, checksum, blob FROM item WHERE run = ?", (number,)
        )
    }
    shown = connection.execute(
        f"SELECT {search.COLUMNS} FROM visibility WHERE run = ?", (number,)
    ).fetchone()
    write = RunWrite(
        RunKey(*names),
        checked(header, stored),
        active=bool(active),
        history=history,
        items=items,
        wakeup_at_ns=wakeup_at_ns,
        becomes_current=bool(is_current),
        visibility=search.row_of(*shown) if shown else None,
    )
    blobs = [header, *(batch.blob for batch in history), *items.values()]
    return RunRow(number, shard_id, write, sum(len(blob or b"") for blob in blobs))


def _bounded(rows: Iterable[T], size_bytes: Callable[[T], int]) -> list[T]:
    taken: list[T] = []
    total = 0
    for row in rows:
        taken.append(row)
        total += size_bytes(row)
        if total >= BYTES_PER_BATCH:
            break
    return taken


def _number(connection: apsw.Connection, statement: str) -> int:
    value = connection.execute(statement).get
    assert isinstance(value, int)
    return value
