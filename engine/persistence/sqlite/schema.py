"""The tables of a store file, and the check that a file is one.

Everything of a run hangs on `run.number`, which SQLite counts up: small keys, and the rows of
recent runs lie together, so a commit touches few pages. History is a plain append.
"""

from __future__ import annotations

import apsw

from engine.errors import StoreMismatch

APPLICATION_ID = 0x50455244
SCHEMA_VERSION = 1

TABLES = """
CREATE TABLE shard (
    shard_id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    expires_at_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE run (
    number INTEGER PRIMARY KEY,
    shard_id INTEGER NOT NULL,
    namespace_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    active INTEGER NOT NULL,
    wakeup_at_ns INTEGER,
    checksum INTEGER NOT NULL,
    header BLOB NOT NULL,
    UNIQUE (run_id, namespace_id, workflow_id)
) STRICT;
CREATE INDEX run_of_shard ON run (shard_id, number, namespace_id, workflow_id);
CREATE INDEX run_active ON run (shard_id) WHERE active;
CREATE INDEX run_wakeup ON run (shard_id, wakeup_at_ns) WHERE wakeup_at_ns IS NOT NULL;

CREATE TABLE current_run (
    workflow_id TEXT NOT NULL,
    namespace_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (workflow_id, namespace_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE history (
    run INTEGER NOT NULL,
    first_event_id INTEGER NOT NULL,
    last_event_id INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    blob BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX history_batch ON history (run, first_event_id);

CREATE TABLE item (
    run INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    key TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (run, kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE visibility (
    run INTEGER PRIMARY KEY,
    namespace_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    workflow_type TEXT NOT NULL,
    task_queue TEXT NOT NULL,
    status INTEGER NOT NULL,
    start_at_ns INTEGER NOT NULL,
    execution_at_ns INTEGER NOT NULL,
    close_order INTEGER NOT NULL,
    history_length INTEGER NOT NULL,
    history_bytes INTEGER NOT NULL,
    transition_count INTEGER NOT NULL,
    parent_workflow_id TEXT,
    parent_run_id TEXT,
    root_workflow_id TEXT NOT NULL,
    root_run_id TEXT NOT NULL,
    memo BLOB NOT NULL,
    search_attributes BLOB NOT NULL,
    attributes TEXT
) STRICT;
CREATE INDEX visibility_order ON visibility (namespace_id, close_order, start_at_ns, run_id);

CREATE TABLE summary (
    namespace_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (namespace_id, run_id, workflow_id)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT, because a reader's position must stay behind it when the last rows go.
CREATE TABLE fact (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    shard_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    blob BLOB NOT NULL
) STRICT;

CREATE TABLE namespace (
    namespace_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    blob BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""


def prepare(connection: apsw.Connection, shard_count: int) -> None:
    """Create the tables in an empty file, within the caller's transaction, or check them.

    Raises StoreMismatch for a file of another program, version or number of shards.
    """
    application_id = _number(connection, "PRAGMA application_id")
    table_count = _number(connection, "SELECT count(*) FROM sqlite_schema")
    if application_id == 0 and table_count == 0:
        connection.execute(TABLES)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.executemany(
            "INSERT INTO shard VALUES (?, '', 0, 0, 0)",
            [(shard_id,) for shard_id in range(shard_count)],
        )
        return
    check(connection)
    stored_count = _number(connection, "SELECT count(*) FROM shard")
    if stored_count != shard_count:
        raise StoreMismatch(f"the store has {stored_count} shards, not {shard_count}")


def check(connection: apsw.Connection) -> None:
    """Raises StoreMismatch for a file of another program or version."""
    if _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise StoreMismatch("the file is an SQLite database of another program")
    version = _number(connection, "PRAGMA user_version")
    if version != SCHEMA_VERSION:
        raise StoreMismatch(f"the store has schema version {version}, not {SCHEMA_VERSION}")


def _number(connection: apsw.Connection, statement: str) -> int:
    value = connection.execute(statement).get
    assert isinstance(value, int)
    return value
