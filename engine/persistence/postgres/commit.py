"""The group commit as one statement: one round trip, one transaction, the fence inside.

Each part writes the rows of one table from arrays, and joins `standing`: the shards whose epoch
the fence found to stand, and whose row it keeps locked until all is committed. A fenced shard
drops out alone. All parts see the tables as they were before the statement. Where one makes a
run current and another drops the one that was, the new one stays, whichever comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from engine.errors import StoreRejected
from engine.persistence.checksum import checksum
from engine.persistence.postgres.arrays import bytea_array, int8_array
from engine.persistence.postgres.condition import searched
from engine.persistence.postgres.connection import Connection, fetch
from engine.persistence.postgres.schema import (
    FACTS_LOCK,
    group_of,
    name_digest,
    run_digest,
    workflow_digest,
)
from engine.persistence.protocols import RunWrite, ShardWrite
from engine.visibility.query import VisibilityRow

NUMBERS = frozenset(
    "shard_id shard_group epoch sequence active wakeup_at_ns checksum first_event_id last_event_id"
    " kind status start_at_ns execution_at_ns close_order history_length history_bytes"
    " transition_count".split()
)
"""The columns that are numbers; all others are bytes."""

COMMIT_BYTES_MAX = 512 * 1024 * 1024
"""Half of what a message to the server may hold. Refused rows are tried again in smaller parts."""

STANDING = "(given.shard_id IN (SELECT shard_id FROM standing)) IS TRUE"
"""Written so that it is looked up in a hash table, however many rows there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What is done with the rows of one kind; `sql` reads them from `{given}`."""

    columns: tuple[str, ...]
    sql: str


Rows = dict[Part, list[tuple[Any, ...]]]


def _part(columns: str, sql: str) -> Part:
    return Part(tuple(columns.split(", ")), sql)


def _insert(table: str, columns: str, on_conflict: str = "", **expressions: str) -> Part:
    chosen = ", ".join(expressions.get(name, f"given.{name}") for name in columns.split(", "))
    # Every row names its shard for the fence; not every table keeps it.
    given = columns if "shard_id" in columns.split(", ") else f"shard_id, {columns}"
    return _part(
        given,
        f"INSERT INTO {table} ({columns}) SELECT {chosen} FROM {{given}} WHERE {STANDING}"
        f" {on_conflict}",
    )


def _replacing(key: str, columns: str) -> str:
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))
    return f"ON CONFLICT ({key}) DO UPDATE SET {updates}"


def _delete(table: str, key: str) -> Part:
    matches = " AND ".join(f"{table}.{name} = given.{name}" for name in key.split(", "))
    return _part(
        f"shard_id, {key}", f"DELETE FROM {table} USING {{given}} WHERE {matches} AND {STANDING}"
    )


FENCE = _part(
    "shard_id, epoch, sequence",
    "UPDATE shard SET sequence = given.sequence FROM {given} WHERE shard.shard_id = given.shard_id"
    " AND shard.epoch = given.epoch"
    f" RETURNING shard.shard_id, pg_advisory_xact_lock_shared({FACTS_LOCK})",
)
RUN = "shard_group, run_key"
RUN_COLUMNS = f"{RUN}, shard_id, namespace_id, workflow_id, run_id, active, checksum, header"
PUT_RUNS = _insert(
    "run",
    RUN_COLUMNS,
    _replacing("run_key, shard_group", "active, checksum, header"),
    active="given.active = 1",
)
PUT_MOVED_RUNS = _insert(
    "run",
    f"{RUN_COLUMNS}, wakeup_at_ns",
    _replacing("run_key, shard_group", "active, checksum, header, wakeup_at_ns"),
    active="given.active = 1",
)
PUT_CURRENT = _insert(
    "current_run",
    "shard_group, workflow_key, run_key",
    _replacing("workflow_key, shard_group", "run_key"),
)
APPEND_HISTORY = _insert("history", f"{RUN}, first_event_id, last_event_id, checksum, blob")
PUT_ITEMS = _insert(
    "item",
    f"{RUN}, kind, name_key, name, checksum, blob",
    _replacing("run_key, kind, name_key, shard_group", "checksum, blob"),
)
DROP_ITEMS = _delete("item", f"{RUN}, kind, name_key")
VISIBLE = (
    "workflow_type, task_queue, status, start_at_ns, execution_at_ns, close_order,"
    " history_length, history_bytes, transition_count, parent_workflow_id, parent_run_id,"
    " root_workflow_id, root_run_id, memo, search_attributes, attributes, search"
)
PUT_VISIBILITY = _insert(
    "visibility",
    f"{RUN}, namespace_id, run_id, workflow_id, {VISIBLE}",
    _replacing("run_key, shard_group", VISIBLE),
    search="convert_from(given.search, 'UTF8')::jsonb",
)
PUT_SUMMARIES = _insert(
    "summary",
    f"{RUN}, namespace_id, workflow_id, run_id, checksum, blob",
    _replacing("run_key, shard_group", "checksum, blob"),
)
PUT_FACTS = _insert("fact", "shard_id, sequence, checksum, blob")
DROP_RUNS = tuple(_delete(table, RUN) for table in ("run", "history", "item", "visibility"))
DROP_CURRENT = _delete("current_run", "shard_group, workflow_key, run_key")
PARTS = (
    PUT_RUNS,
    PUT_MOVED_RUNS,
    PUT_CURRENT,
    APPEND_HISTORY,
    PUT_ITEMS,
    DROP_ITEMS,
    PUT_VISIBILITY,
    PUT_SUMMARIES,
    PUT_FACTS,
    *DROP_RUNS,
    DROP_CURRENT,
)
"""Each combination that occurs becomes a prepared statement; a few dozen do."""


async def commit(connection: Connection, writes: Sequence[ShardWrite]) -> frozenset[int]:
    """Write what stands; returns the shards that did not. One statement is one transaction."""
    if not writes:
        return frozenset()
    rows = rows_of(writes)
    fence = [(write.shard_id, write.epoch, write.sequence) for write in writes]
    parts = tuple(part for part in PARTS if part in rows)
    parameters = _arrays(FENCE, fence)
    for part in parts:
        parameters += _arrays(part, rows[part])
    if sum(map(len, parameters)) > COMMIT_BYTES_MAX:
        raise StoreRejected(f"the rows of a commit take more than {COMMIT_BYTES_MAX} bytes")
    standing = await fetch(connection, statement(parts), *parameters)
    return frozenset(write.shard_id for write in writes) - {shard_id for (shard_id,) in standing}


@cache
def statement(parts: tuple[Part, ...]) -> str:
    """All of them at once; the answer is the shards that stand."""
    count, ctes = 0, []
    for number, part in enumerate((FENCE, *parts)):
        arrays = []
        for name in part.columns:
            count += 1
            arrays.append(f"${count}::{'bigint' if name in NUMBERS else 'bytea'}[]")
        given = f"unnest({', '.join(arrays)}) AS given ({', '.join(part.columns)})"
        name = f"part_{number}" if number else "standing"
        ctes.append(f"{name} AS ({part.sql.format(given=given)})")
    return f"WITH {', '.join(ctes)} SELECT shard_id FROM standing"


def _arrays(part: Part, rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
    return [
        int8_array(values) if name in NUMBERS else bytea_array(values)
        for name, values in zip(part.columns, zip(*rows, strict=True), strict=True)
    ]


def rows_of(writes: Sequence[ShardWrite]) -> Rows:
    """What the commit writes, by part; parts without rows are left out."""
    rows: Rows = {}
    put_current: dict[bytes, tuple[Any, ...]] = {}
    for write in writes:
        if write.facts is not None:
            ids = (write.shard_id, write.sequence)
            rows.setdefault(PUT_FACTS, []).append((*ids, checksum(write.facts, *ids), write.facts))
        for run in write.runs:
            _put(rows, put_current, write.shard_id, run)
    if put_current:
        rows[PUT_CURRENT] = list(put_current.values())
    return rows


def _put(
    rows: Rows, put_current: dict[bytes, tuple[Any, ...]], shard_id: int, run: RunWrite
) -> None:
    key = run.key
    names = (key.namespace_id.encode(), key.workflow_id.encode(), key.run_id.encode())
    place = (shard_id, group_of(key), run_digest(key))

    def add(part: Part, *row: Any) -> None:
        rows.setdefault(part, []).append(row)

    if run.summary is not None:
        add(PUT_SUMMARIES, *place, *names, checksum(run.summary), run.summary)
    if run.deleted:
        for part in DROP_RUNS:
            add(part, *place)
        add(DROP_CURRENT, shard_id, place[1], workflow_digest(key), place[2])
        return
    header = (place[1], place[2], shard_id, *names, run.active, checksum(run.header), run.header)
    if run.wakeup_at_ns != run.wakeup_was_ns:
        add(PUT_MOVED_RUNS, *header, run.wakeup_at_ns)
    else:
        add(PUT_RUNS, *header)
    if run.becomes_current:
        workflow = workflow_digest(key)
        put_current[workflow] = (shard_id, place[1], workflow, place[2])
    for first, last, blob in run.history:
        add(APPEND_HISTORY, *place, first, last, checksum(blob, first, last), blob)
    for (kind, name), row in run.items.items():
        item = (*place, int(kind), name_digest(name))
        if row is None:
            add(DROP_ITEMS, *item)
        else:
            add(PUT_ITEMS, *item, name.encode(), checksum(row, kind), row)
    if run.visibility is not None:
        add(PUT_VISIBILITY, *place, names[0], names[2], names[1], *_visible(run.visibility))


def _visible(row: VisibilityRow) -> tuple[Any, ...]:
    parent = (row.parent_workflow_id, row.parent_run_id)
    return (
        row.workflow_type.encode(),
        row.task_queue.encode(),
        row.status,
        row.start_at_ns,
        row.execution_at_ns,
        row.order[0],
        row.history_length,
        row.history_bytes,
        row.transition_count,
        *(None if text is None else text.encode() for text in parent),
        row.root_workflow_id.encode(),
        row.root_run_id.encode(),
        row.memo,
        row.search_attributes,
        msgspec.json.encode(row.attributes) if row.attributes else None,
        searched(row.attributes) if row.attributes else None,
    )
