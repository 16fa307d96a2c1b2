"""The group commit: what the shards have ready, as rows, in one transaction.

The fence is the first statement: it moves the sequence of each shard whose epoch still stands.
The transaction holds SQLite's write lock from its begin, so no epoch can change before its end,
and the rows of the shards that the fence left alone are never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from engine.persistence.checksum import checksum
from engine.persistence.protocols import RunWrite, ShardWrite
from engine.persistence.sqlite.statement import ManyRows
from engine.visibility.query import VisibilityRow

KEY = "run_id, namespace_id, workflow_id"
RUN_OF_GIVEN = "CROSS JOIN run USING (run_id, namespace_id, workflow_id)"
GIVEN_RUNS = f"(SELECT number FROM given {RUN_OF_GIVEN})"

FENCE = ManyRows(
    "shard_id, epoch, sequence",
    "UPDATE shard SET sequence = given.sequence FROM given WHERE shard.shard_id = given.shard_id"
    " AND shard.epoch = given.epoch",
)
PUT_RUNS = ManyRows(
    f"{KEY}, shard_id, active, checksum, header",
    f"INSERT INTO run ({KEY}, shard_id, active, checksum, header) SELECT * FROM given WHERE true"
    f" ON CONFLICT ({KEY}) DO UPDATE SET"
    " active = excluded.active, checksum = excluded.checksum, header = excluded.header",
)
MOVE_WAKEUPS = ManyRows(
    f"{KEY}, wakeup_at_ns",
    "UPDATE run SET wakeup_at_ns = given.wakeup_at_ns FROM given"
    " WHERE (run.run_id, run.namespace_id, run.workflow_id)"
    " = (given.run_id, given.namespace_id, given.workflow_id)",
)
PUT_CURRENT = ManyRows(
    KEY,
    f"INSERT INTO current_run ({KEY}) SELECT * FROM given WHERE true"
    " ON CONFLICT (workflow_id, namespace_id) DO UPDATE SET run_id = excluded.run_id",
)
APPEND_HISTORY = ManyRows(
    f"{KEY}, first_event_id, last_event_id, checksum, blob",
    "INSERT INTO history (run, first_event_id, last_event_id, checksum, blob)"
    " SELECT number, first_event_id, last_event_id, given.checksum, blob"
    f" FROM given {RUN_OF_GIVEN}",
)
PUT_ITEMS = ManyRows(
    f"{KEY}, kind, key, checksum, blob",
    "INSERT INTO item (run, kind, key, checksum, blob)"
    f" SELECT number, kind, key, given.checksum, blob FROM given {RUN_OF_GIVEN} WHERE true"
    " ON CONFLICT (run, kind, key) DO UPDATE SET"
    " checksum = excluded.checksum, blob = excluded.blob",
)
DROP_ITEMS = ManyRows(
    f"{KEY}, kind, key",
    "DELETE FROM item WHERE (run, kind, key) IN"
    f" (SELECT number, kind, key FROM given {RUN_OF_GIVEN})",
)
VISIBLE = (
    "workflow_type, task_queue, status, start_at_ns, execution_at_ns, close_order,"
    " history_length, history_bytes, transition_count, parent_workflow_id, parent_run_id,"
    " root_workflow_id, root_run_id, memo, search_attributes, attributes"
)
PUT_VISIBILITY = ManyRows(
    f"{KEY}, {VISIBLE}",
    f"INSERT INTO visibility (run, {KEY}, {VISIBLE})"
    f" SELECT number, {KEY}, {VISIBLE} FROM given {RUN_OF_GIVEN} WHERE true"
    " ON CONFLICT (run) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in VISIBLE.split(", ")),
)
PUT_SUMMARIES = ManyRows(
    f"{KEY}, checksum, blob",
    f"INSERT INTO summary ({KEY}, checksum, blob) SELECT * FROM given WHERE true"
    f" ON CONFLICT ({KEY}) DO UPDATE SET checksum = excluded.checksum, blob = excluded.blob",
)
PUT_FACTS = ManyRows(
    "shard_id, sequence, checksum, blob",
    "INSERT INTO fact (shard_id, sequence, checksum, blob) SELECT * FROM given",
)
DROP_RUNS = (
    ManyRows(KEY, f"DELETE FROM history WHERE run IN {GIVEN_RUNS}"),
    ManyRows(KEY, f"DELETE FROM item WHERE run IN {GIVEN_RUNS}"),
    ManyRows(KEY, f"DELETE FROM visibility WHERE run IN {GIVEN_RUNS}"),
    ManyRows(
        KEY,
        "DELETE FROM current_run WHERE (workflow_id, namespace_id, run_id) IN"
        " (SELECT workflow_id, namespace_id, run_id FROM given)",
    ),
    ManyRows(KEY, f"DELETE FROM run WHERE number IN {GIVEN_RUNS}"),
)


def commit(connection: apsw.Connection, writes: Sequence[ShardWrite]) -> frozenset[int]:
    """Write what stands; returns the shards that did not. Runs within the transaction."""
    fenced = _fence(connection, writes)
    standing = [write for write in writes if write.shard_id not in fenced]
    _put_runs(
        connection,
        [(run, write.shard_id) for write in standing for run in write.runs if not run.deleted],
    )
    _drop_runs(connection, [run for write in standing for run in write.runs if run.deleted])
    runs = [run for write in standing for run in write.runs]
    PUT_SUMMARIES.run(
        connection,
        [
            (*_key(run), checksum(run.summary), run.summary)
            for run in runs
            if run.summary is not None
        ],
    )
    PUT_FACTS.run(
        connection,
        [
            (
                write.shard_id,
                write.sequence,
                checksum(write.facts, write.shard_id, write.sequence),
                write.facts,
            )
            for write in standing
            if write.facts is not None
        ],
    )
    return fenced


def _fence(connection: apsw.Connection, writes: Sequence[ShardWrite]) -> frozenset[int]:
    """Move the sequences of the shards that stand; returns the others."""
    before = connection.total_changes()
    FENCE.run(connection, [(write.shard_id, write.epoch, write.sequence) for write in writes])
    if connection.total_changes() - before == len(writes):
        return frozenset()
    epochs = dict(connection.execute("SELECT shard_id, epoch FROM shard"))
    return frozenset(
        write.shard_id for write in writes if epochs.get(write.shard_id) != write.epoch
    )


def _put_runs(connection: apsw.Connection, runs: Iterable[tuple[RunWrite, int]]) -> None:
    headers, wakeups, current, batches, put, dropped, visible = [], [], [], [], [], [], []
    for run, shard_id in runs:
        key = _key(run)
        headers.append((*key, shard_id, run.active, checksum(run.header), run.header))
        if run.wakeup_at_ns != run.wakeup_was_ns:
            wakeups.append((*key, run.wakeup_at_ns))
        if run.becomes_current:
            current.append(key)
        for first, last, blob in run.history:
            batches.append((*key, first, last, checksum(blob, first, last), blob))
        for (kind, name), row in run.items.items():
            if row is None:
                dropped.append((*key, int(kind), name))
            else:
                put.append((*key, int(kind), name, checksum(row, kind), row))
        if run.visibility is not None:
            visible.append((*key, *_visible(run.visibility)))
    PUT_RUNS.run(connection, headers)
    MOVE_WAKEUPS.run(connection, wakeups)
    PUT_CURRENT.run(connection, current)
    APPEND_HISTORY.run(connection, batches)
    DROP_ITEMS.run(connection, dropped)
    PUT_ITEMS.run(connection, put)
    PUT_VISIBILITY.run(connection, visible)


def _drop_runs(connection: apsw.Connection, runs: Iterable[RunWrite]) -> None:
    if keys := [_key(run) for run in runs]:
        for statement in DROP_RUNS:
            statement.run(connection, keys)


def _key(run: RunWrite) -> tuple[str, str, str]:
    return run.key.run_id, run.key.namespace_id, run.key.workflow_id


def _visible(row: VisibilityRow) -> tuple[str | int | bytes | None, ...]:
    return (
        row.workflow_type,
        row.task_queue,
        row.status,
        row.start_at_ns,
        row.execution_at_ns,
        row.order[0],
        row.history_length,
        row.history_bytes,
        row.transition_count,
        row.parent_workflow_id,
        row.parent_run_id,
        row.root_workflow_id,
        row.root_run_id,
        row.memo,
        row.search_attributes,
        msgspec.json.encode(row.attributes).decode() if row.attributes else None,
    )
