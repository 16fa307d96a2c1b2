"""The tables, and the keys of their rows.

All rows of a run lie in the partitions of its group, under a key of fixed length that is made
from its names: no read stands before a write, and no name is too long for an index. Text is
`bytea`, because a tenant's text may hold NUL and sorts by its bytes.
"""

from __future__ import annotations

import hashlib

from engine.ids import shard_of
from engine.persistence.protocols import RunKey

SCHEMA = "engine"

GROUP_COUNT = 8
"""Partitions of each table that grows; never changes in a store. A shard's runs are in one."""

FACTS_LOCK = f"({0x50455244}::bigint << 32) + 'fact'::regclass::oid::bigint"
"""Held by each commit from before it draws the positions of its facts until its end.

Other cells in the same database have locks of their own, so none waits for another one's.
"""

DIGEST_BYTES = 16
TIME_CHARACTERS = 8
"""So much of a run id, a UUID of version 7, says its minute: rows of one time lie together."""


def group_of(key: RunKey) -> int:
    """The partition of everything that belongs to the workflow id."""
    return shard_of(key.namespace_id, key.workflow_id, GROUP_COUNT)


def workflow_digest(key: RunKey) -> bytes:
    return _digest(key.namespace_id, key.workflow_id)


def run_digest(key: RunKey) -> bytes:
    """The key of the run's rows: its minute, then what no other run has."""
    return key.run_id[:TIME_CHARACTERS].encode() + _digest(*key)


def name_digest(name: str) -> bytes:
    """The key of an item, whose name may be longer than an index takes."""
    return _digest(name)


def _digest(*texts: str) -> bytes:
    encoded = [text.encode() for text in texts]
    # With the lengths before them no two lists of texts are the same bytes.
    lengths = b"".join(len(each).to_bytes(4, "big") for each in encoded)
    return hashlib.blake2b(lengths + b"".join(encoded), digest_size=DIGEST_BYTES).digest()


_GROUPED = {
    "run": (
        """
        shard_group bigint NOT NULL, run_key bytea NOT NULL, shard_id bigint NOT NULL,
        namespace_id bytea NOT NULL, workflow_id bytea NOT NULL, run_id bytea NOT NULL,
        active boolean NOT NULL, wakeup_at_ns bigint, checksum bigint NOT NULL,
        header bytea NOT NULL, PRIMARY KEY (run_key, shard_group)
        """,
        "fillfactor = 70",
    ),
    "current_run": (
        """
        shard_group bigint NOT NULL, workflow_key bytea NOT NULL, run_key bytea NOT NULL,
        PRIMARY KEY (workflow_key, shard_group)
        """,
        "fillfactor = 90",
    ),
    "history": (
        """
        shard_group bigint NOT NULL, run_key bytea NOT NULL, first_event_id bigint NOT NULL,
        last_event_id bigint NOT NULL, checksum bigint NOT NULL, blob bytea NOT NULL,
        PRIMARY KEY (run_key, first_event_id, shard_group)
        """,
        "fillfactor = 100",
    ),
    "item": (
        """
        shard_group bigint NOT NULL, run_key bytea NOT NULL, kind bigint NOT NULL,
        name_key bytea NOT NULL, name bytea NOT NULL, checksum bigint NOT NULL,
        blob bytea NOT NULL, PRIMARY KEY (run_key, kind, name_key, shard_group)
        """,
        "fillfactor = 90",
    ),
    "visibility": (
        """
        shard_group bigint NOT NULL, run_key bytea NOT NULL, namespace_id bytea NOT NULL,
        run_id bytea NOT NULL, workflow_id bytea NOT NULL, workflow_type bytea NOT NULL,
        task_queue bytea NOT NULL, status bigint NOT NULL, start_at_ns bigint NOT NULL,
        execution_at_ns bigint NOT NULL, close_order bigint NOT NULL,
        history_length bigint NOT NULL, history_bytes bigint NOT NULL,
        transition_count bigint NOT NULL, parent_workflow_id bytea, parent_run_id bytea,
        root_workflow_id bytea NOT NULL, root_run_id bytea NOT NULL, memo bytea NOT NULL,
        search_attributes bytea NOT NULL, attributes bytea, search jsonb,
        PRIMARY KEY (run_key, shard_group)
        """,
        "fillfactor = 90",
    ),
    "summary": (
        """
        shard_group bigint NOT NULL, run_key bytea NOT NULL, namespace_id bytea NOT NULL,
        workflow_id bytea NOT NULL, run_id bytea NOT NULL, checksum bigint NOT NULL,
        blob bytea NOT NULL, PRIMARY KEY (run_key, shard_group)
        """,
        "fillfactor = 100",
    ),
}

_SINGLE = """
CREATE TABLE shard (
    shard_id bigint PRIMARY KEY, owner bytea NOT NULL, epoch bigint NOT NULL,
    sequence bigint NOT NULL, expires_at_ns bigint NOT NULL
) WITH (fillfactor = 10);
CREATE TABLE fact (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shard_id bigint NOT NULL,
    sequence bigint NOT NULL, checksum bigint NOT NULL, blob bytea NOT NULL
);
CREATE TABLE namespace (
    namespace_id bytea PRIMARY KEY, name bytea NOT NULL, blob bytea NOT NULL
);
CREATE INDEX run_of_shard ON run (shard_id, run_key);
CREATE INDEX run_active ON run (shard_id) WHERE active;
CREATE INDEX run_wakeup ON run (shard_id, wakeup_at_ns) WHERE wakeup_at_ns IS NOT NULL;
CREATE INDEX visibility_order ON visibility (namespace_id, close_order, start_at_ns, run_id);
CREATE INDEX summary_of_namespace ON summary (namespace_id, run_id);
"""

HOLDER = """
CREATE TABLE holder (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), installation text NOT NULL
);
CREATE TABLE move (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only), token text NOT NULL,
    part text NOT NULL DEFAULT '', place bytea NOT NULL DEFAULT '',
    is_verified boolean NOT NULL DEFAULT false
);
"""
"""Whose the tables are; and how far a copy has come, until a server opens it."""


def _tables() -> str:
    tables = []
    for name, (columns, storage) in _GROUPED.items():
        tables.append(f"CREATE TABLE {name} ({columns}) PARTITION BY LIST (shard_group);")
        tables += (
            f"CREATE TABLE {name}_{group} PARTITION OF {name} FOR VALUES IN ({group})"
            f" WITH ({storage});"
            for group in range(GROUP_COUNT)
        )
    return "".join(tables) + _SINGLE


TABLES = _tables()
