"""Reading runs, their histories and what recovery asks for. Each runs within one snapshot."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from engine.persistence.checksum import checked
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


def load(connection: apsw.Connection, keys: Sequence[RunKey]) -> list[StoredRun | None]:
    """The runs named, in order."""
    return [_load_one(connection, key) for key in keys]


def _load_one(connection: apsw.Connection, key: RunKey) -> StoredRun | None:
    key = _named(connection, key)
    row = connection.execute(
        "SELECT number, wakeup_at_ns, checksum, header FROM run"
        " WHERE run_id = ? AND namespace_id = ? AND workflow_id = ?",
        (key.run_id, key.namespace_id, key.workflow_id),
    ).fetchone()
    if row is None:
        return None
    number, wakeup_at_ns, stored, header = row
    items = {
        (ItemKind(kind), name): checked(blob, item_stored, kind)
        for kind, name, item_stored, blob in connection.execute(
            "SELECT kind, key, checksum, blob FROM item WHERE run = ?", (number,)
        )
    }
    return StoredRun(key, checked(header, stored), items, wakeup_at_ns)


def _named(connection: apsw.Connection, key: RunKey) -> RunKey:
    if key.run_id:
        return key
    row = connection.execute(
        "SELECT run_id FROM current_run WHERE workflow_id = ? AND namespace_id = ?",
        (key.workflow_id, key.namespace_id),
    ).fetchone()
    return key if row is None else key._replace(run_id=row[0])


def read_history(
    connection: apsw.Connection,
    key: RunKey,
    first_event_id: int,
    last_event_id: int,
    bytes_max: int,
) -> list[HistoryBatch]:
    """Batches that overlap the range, while they fit; the first one always."""
    key = _named(connection, key)
    batches: list[HistoryBatch] = []
    size_bytes = 0
    for first, last, stored, blob in connection.execute(
        "SELECT first_event_id, last_event_id, checksum, blob FROM history"
        " WHERE run = (SELECT number FROM run"
        "  WHERE run_id = ?1 AND namespace_id = ?2 AND workflow_id = ?3)"
        # Where to begin comes from the index alone, so a long history's tail is near.
        " AND first_event_id >= ifnull((SELECT max(first_event_id) FROM history"
        "  WHERE run = (SELECT number FROM run"
        "   WHERE run_id = ?1 AND namespace_id = ?2 AND workflow_id = ?3)"
        "  AND first_event_id <= ?4), 0)"
        " AND first_event_id <= ?5 AND last_event_id >= ?4 ORDER BY first_event_id",
        (key.run_id, key.namespace_id, key.workflow_id, first_event_id, last_event_id),
    ):
        size_bytes += len(blob)
        if batches and size_bytes > bytes_max:
            break
        batches.append(HistoryBatch(first, last, checked(blob, stored, first, last)))
    return batches


def active_runs(connection: apsw.Connection, shard_id: int) -> list[RunKey]:
    """The shard's runs that recovery must load."""
    rows = connection.execute(
        "SELECT namespace_id, workflow_id, run_id FROM run INDEXED BY run_active"
        " WHERE shard_id = ? AND active",
        (shard_id,),
    )
    return sorted(RunKey(*row) for row in rows)


def wakeups(
    connection: apsw.Connection, shard_id: int, after: Wakeup, until_ns: int, limit: int
) -> list[Wakeup]:
    """The shard's wake-ups behind one that are due by then, ascending."""
    after_ns, after_key = after
    rows = connection.execute(
        "SELECT wakeup_at_ns, namespace_id, workflow_id, run_id FROM run INDEXED BY run_wakeup"
        # The first bound is for the index, which has only the times.
        " WHERE shard_id = ?1 AND wakeup_at_ns >= ?2 AND wakeup_at_ns <= ?3"
        " AND (wakeup_at_ns, namespace_id, workflow_id, run_id) > (?2, ?4, ?5, ?6)"
        " ORDER BY wakeup_at_ns, namespace_id, workflow_id, run_id LIMIT ?7",
        (shard_id, after_ns, until_ns, *after_key, limit),
    )
    return [(at_ns, RunKey(*key)) for at_ns, *key in rows]


def workflow_ids_page(
    connection: apsw.Connection, shard_id: int, after_number: int
) -> list[tuple[int, str, str]]:
    """(run number, namespace id, workflow id) behind a number: a page of the whole shard.

    Pages, because a shard may hold millions and no snapshot may last that long.
    """
    return list(
        connection.execute(
            "SELECT number, namespace_id, workflow_id FROM run INDEXED BY run_of_shard"
            " WHERE shard_id = ? AND number > ? ORDER BY number LIMIT ?",
            (shard_id, after_number, WORKFLOWS_PER_PAGE),
        )
    )


def read_facts(connection: apsw.Connection, after_position: int, limit: int) -> list[FactRow]:
    """Fact rows behind a position, ascending."""
    rows = connection.execute(
        "SELECT position, shard_id, sequence, checksum, blob FROM fact"
        " WHERE position > ? ORDER BY position LIMIT ?",
        (after_position, limit),
    )
    return [
        FactRow(position, shard_id, sequence, checked(blob, stored, shard_id, sequence))
        for position, shard_id, sequence, stored, blob in rows
    ]


def delete_some_facts(connection: apsw.Connection, up_to_position: int) -> bool:
    """Delete up to the position, not many at once; whether there may be more."""
    connection.execute(
        "DELETE FROM fact WHERE position IN (SELECT position FROM fact"
        " WHERE position <= ? ORDER BY position LIMIT ?)",
        (up_to_position, FACTS_DELETED_AT_ONCE),
    )
    return connection.changes() == FACTS_DELETED_AT_ONCE


def read_summaries(
    connection: apsw.Connection, namespace_id: str, after_run_id: str, limit: int
) -> list[tuple[RunKey, bytes]]:
    """Closing summaries of a namespace behind a run id."""
    rows = connection.execute(
        "SELECT workflow_id, run_id, checksum, blob FROM summary"
        " WHERE namespace_id = ? AND run_id > ? ORDER BY run_id LIMIT ?",
        (namespace_id, after_run_id, limit),
    )
    return [
        (RunKey(namespace_id, workflow_id, run_id), checked(blob, stored))
        for workflow_id, run_id, stored, blob in rows
    ]


def namespaces(connection: apsw.Connection) -> list[NamespaceRow]:
    """All of the cell, by id."""
    rows = connection.execute(
        "SELECT namespace_id, name, blob FROM namespace ORDER BY namespace_id"
    )
    return [NamespaceRow(*row) for row in rows]
