"""Reading runs, their histories and what recovery asks for. Each is one statement: one snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from engine.persistence.checksum import checked
from engine.persistence.postgres.arrays import bytea_array, int8_array
from engine.persistence.postgres.connection import Connection, Row, fetch
from engine.persistence.postgres.schema import (
    FACTS_LOCK,
    group_of,
    run_digest,
    workflow_digest,
)
from engine.persistence.protocols import (
    FactRow,
    HistoryBatch,
    ItemKind,
    NamespaceRow,
    RunKey,
    StoredRun,
    Wakeup,
)

WORKFLOWS_PER_PAGE = 10_000
FACTS_DELETED_AT_ONCE = 1_000

LAST_DRAWN = f"SELECT last_value, pg_advisory_xact_lock({FACTS_LOCK})::text FROM fact_position_seq"
"""Waits until no commit has the lock, and lets it go at once."""

NAMED = """
named AS (
    SELECT given.place, given.shard_group, coalesce(given.run_key, current_run.run_key) AS run_key
    FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[])
        AS given (place, shard_group, run_key, workflow_key)
    LEFT JOIN current_run ON given.run_key IS NULL
        AND current_run.workflow_key = given.workflow_key
        AND current_run.shard_group = given.shard_group
)
"""
"""The runs asked for by name, or as the current one of their workflow id."""

LOAD = f"""
WITH {NAMED}, found AS MATERIALIZED (
    SELECT place, run.* FROM named JOIN run USING (run_key, shard_group)
)
SELECT place, NULL::bigint, NULL::bytea, checksum, header, namespace_id, workflow_id, run_id,
    wakeup_at_ns FROM found
UNION ALL
SELECT place, kind, name, item.checksum, blob, NULL, NULL, NULL, NULL
    FROM found JOIN item USING (run_key, shard_group)
"""

READ_HISTORY = f"""
WITH {NAMED}, sized AS (
    SELECT history.*, row_number() OVER within, sum(octet_length(blob)) OVER within AS bytes
    FROM named JOIN history USING (run_key, shard_group)
    -- Where to begin comes from the index alone, so a long history's tail is near.
    WHERE first_event_id >= coalesce((
            SELECT first_event_id FROM named JOIN history USING (run_key, shard_group)
            WHERE first_event_id <= $5::bigint ORDER BY first_event_id DESC LIMIT 1
        ), 0)
        AND first_event_id <= $6::bigint AND last_event_id >= $5::bigint
    WINDOW within AS (ORDER BY first_event_id)
)
SELECT first_event_id, last_event_id, checksum, blob FROM sized
WHERE row_number = 1 OR bytes <= $7::bigint ORDER BY first_event_id
"""


async def load(connection: Connection, keys: Sequence[RunKey]) -> list[StoredRun | None]:
    """The runs named, in order."""
    rows = await fetch(connection, LOAD, *_named(keys))
    headers: dict[int, Row] = {}
    items: dict[int, dict[tuple[ItemKind, str], bytes]] = {}
    for place, kind, name, stored, blob, *rest in rows:
        if kind is None:
            headers[place] = (checked(blob, stored), *rest)
        else:
            item = (ItemKind(kind), name.decode())
            items.setdefault(place, {})[item] = checked(blob, stored, kind)
    return [
        _stored(headers[place], items.get(place, {})) if place in headers else None
        for place in range(len(keys))
    ]


def _stored(row: Row, items: dict[tuple[ItemKind, str], bytes]) -> StoredRun:
    header, namespace_id, workflow_id, run_id, wakeup_at_ns = row
    return StoredRun(_key(namespace_id, workflow_id, run_id), header, items, wakeup_at_ns)


def _named(keys: Sequence[RunKey]) -> tuple[bytes, ...]:
    return (
        int8_array(range(len(keys))),
        int8_array([group_of(key) for key in keys]),
        bytea_array([run_digest(key) if key.run_id else None for key in keys]),
        bytea_array([None if key.run_id else workflow_digest(key) for key in keys]),
    )


def _key(namespace_id: bytes, workflow_id: bytes, run_id: bytes) -> RunKey:
    return RunKey(namespace_id.decode(), workflow_id.decode(), run_id.decode())


async def read_history(
    connection: Connection,
    key: RunKey,
    first_event_id: int,
    last_event_id: int,
    bytes_max: int,
) -> list[HistoryBatch]:
    """Batches that overlap the range, while they fit; the first one always."""
    rows = await fetch(
        connection, READ_HISTORY, *_named([key]), first_event_id, last_event_id, bytes_max
    )
    return [
        HistoryBatch(first, last, checked(blob, stored, first, last))
        for first, last, stored, blob in rows
    ]


async def active_runs(connection: Connection, shard_id: int) -> list[RunKey]:
    """The shard's runs that recovery must load."""
    rows = await fetch(
        connection,
        "SELECT namespace_id, workflow_id, run_id FROM run WHERE shard_id = $1::bigint AND active",
        shard_id,
    )
    return sorted(_key(*row) for row in rows)


async def wakeups(
    connection: Connection, shard_id: int, after: Wakeup, until_ns: int, limit: int
) -> list[Wakeup]:
    """The shard's wake-ups behind one that are due by then, ascending."""
    after_ns, after_key = after
    rows = await fetch(
        connection,
        "SELECT wakeup_at_ns, namespace_id, workflow_id, run_id FROM run"
        # The first bound is for the index, which has only the times.
        " WHERE shard_id = $1::bigint AND wakeup_at_ns >= $2::bigint"
        " AND wakeup_at_ns <= $3::bigint"
        " AND (wakeup_at_ns, namespace_id, workflow_id, run_id) > ($2::bigint, $4, $5, $6)"
        " ORDER BY wakeup_at_ns, namespace_id, workflow_id, run_id LIMIT $7::bigint",
        shard_id,
        after_ns,
        until_ns,
        *(name.encode() for name in after_key),
        limit,
    )
    return [(at_ns, _key(*names)) for at_ns, *names in rows]


async def workflow_ids_page(
    connection: Connection, shard_id: int, after_key: bytes
) -> tuple[bytes, set[tuple[str, str]]] | None:
    """The ids behind a run's key, and the last key: a page of the whole shard.

    Pages, because a shard may hold millions and no snapshot may last that long.
    """
    rows = await fetch(
        connection,
        "SELECT run_key, namespace_id, workflow_id FROM run"
        " WHERE shard_id = $1::bigint AND run_key > $2 ORDER BY run_key LIMIT $3::bigint",
        shard_id,
        after_key,
        WORKFLOWS_PER_PAGE,
    )
    if not rows:
        return None
    return rows[-1][0], {
        (namespace_id.decode(), workflow_id.decode()) for _, namespace_id, workflow_id in rows
    }


async def read_facts(connection: Connection, after_position: int, limit: int) -> list[FactRow]:
    """Fact rows behind a position, ascending.

    A commit under way may have drawn a position below those that are seen already. So nothing is
    read behind the last one drawn, and only when those who drew up to there have ended: then no
    row appears later that a reader has passed by.
    """
    [(last_drawn, _)] = await fetch(connection, LAST_DRAWN)
    rows = await fetch(
        connection,
        "SELECT position, shard_id, sequence, checksum, blob FROM fact"
        " WHERE position > $1::bigint AND position <= $2::bigint"
        " ORDER BY position LIMIT $3::bigint",
        after_position,
        last_drawn,
        limit,
    )
    return [
        FactRow(position, shard_id, sequence, checked(blob, stored, shard_id, sequence))
        for position, shard_id, sequence, stored, blob in rows
    ]


async def delete_some_facts(connection: Connection, up_to_position: int) -> bool:
    """Delete up to the position, not many at once; whether there may be more."""
    rows = await fetch(
        connection,
        "DELETE FROM fact WHERE position IN (SELECT position FROM fact"
        " WHERE position <= $1::bigint ORDER BY position LIMIT $2::bigint) RETURNING position",
        up_to_position,
        FACTS_DELETED_AT_ONCE,
    )
    return len(rows) == FACTS_DELETED_AT_ONCE


async def read_summaries(
    connection: Connection, namespace_id: str, after_run_id: str, limit: int
) -> list[tuple[RunKey, bytes]]:
    """Closing summaries of a namespace behind a run id."""
    rows = await fetch(
        connection,
        "SELECT workflow_id, run_id, checksum, blob FROM summary"
        " WHERE namespace_id = $1 AND run_id > $2 ORDER BY run_id LIMIT $3::bigint",
        namespace_id.encode(),
        after_run_id.encode(),
        limit,
    )
    return [
        (RunKey(namespace_id, workflow_id.decode(), run_id.decode()), checked(blob, stored))
        for workflow_id, run_id, stored, blob in rows
    ]


async def put_namespace(connection: Connection, row: NamespaceRow) -> None:
    await fetch(
        connection,
        "INSERT INTO namespace (namespace_id, name, blob) VALUES ($1, $2, $3)"
        " ON CONFLICT (namespace_id) DO UPDATE SET name = excluded.name, blob = excluded.blob",
        row.namespace_id.encode(),
        row.name.encode(),
        row.blob,
    )


async def namespaces(connection: Connection) -> list[NamespaceRow]:
    """All of the cell, by id."""
    rows = await fetch(
        connection, "SELECT namespace_id, name, blob FROM namespace ORDER BY namespace_id"
    )
    return [NamespaceRow(id.decode(), name.decode(), blob) for id, name, blob in rows]
