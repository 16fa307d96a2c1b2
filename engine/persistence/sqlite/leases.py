"""Who owns which shard, in SQL. All but `leases` run within a write transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw

from engine.persistence.protocols import ShardLease

COLUMNS = "shard_id, owner, epoch, sequence, expires_at_ns"


def acquire(
    connection: apsw.Connection,
    shard_ids: Sequence[int],
    owner: str,
    now_ns: int,
    expires_at_ns: int,
) -> list[ShardLease]:
    """Raise the epoch of each shard that is free; returns those, in the order asked for."""
    taken: list[ShardLease] = []
    for shard_id in dict.fromkeys(shard_ids):
        rows = connection.execute(
            "UPDATE shard SET owner = ?1, epoch = epoch + 1, expires_at_ns = ?2"
            " WHERE shard_id = ?3 AND (owner IN ('', ?1) OR expires_at_ns <= ?4)"
            f" RETURNING {COLUMNS}",
            (owner, expires_at_ns, shard_id, now_ns),
        )
        taken.extend(ShardLease(*row) for row in rows)
    return taken


def renew(
    connection: apsw.Connection, epochs: Mapping[int, int], expires_at_ns: int
) -> frozenset[int]:
    """Extend the leases whose epoch stands; returns their shards."""
    standing = set()
    for shard_id, epoch in epochs.items():
        connection.execute(
            "UPDATE shard SET expires_at_ns = ? WHERE shard_id = ? AND epoch = ?",
            (expires_at_ns, shard_id, epoch),
        )
        if connection.changes():
            standing.add(shard_id)
    return frozenset(standing)


def leases(connection: apsw.Connection) -> list[ShardLease]:
    """Every shard's, by shard id."""
    rows = connection.execute(f"SELECT {COLUMNS} FROM shard ORDER BY shard_id")
    return [ShardLease(*row) for row in rows]
