"""Who owns which shard, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.persistence.postgres.arrays import int8_array
from engine.persistence.postgres.connection import Connection, Row, fetch
from engine.persistence.protocols import ShardLease

COLUMNS = "shard_id, owner, epoch, sequence, expires_at_ns"


async def acquire(
    connection: Connection,
    shard_ids: Sequence[int],
    owner: str,
    now_ns: int,
    expires_at_ns: int,
) -> list[ShardLease]:
    """Raise the epoch of each shard that is free; returns those, in the order asked for."""
    rows = await fetch(
        connection,
        "UPDATE shard SET owner = $1, epoch = epoch + 1, expires_at_ns = $2::bigint"
        " WHERE shard_id = ANY ($3::bigint[])"
        " AND (owner IN (''::bytea, $1) OR expires_at_ns <= $4::bigint)"
        f" RETURNING {COLUMNS}",
        owner.encode(),
        expires_at_ns,
        int8_array(shard_ids),
        now_ns,
    )
    taken = {lease.shard_id: lease for lease in map(_lease, rows)}
    return [taken[shard_id] for shard_id in dict.fromkeys(shard_ids) if shard_id in taken]


async def renew(
    connection: Connection, epochs: Mapping[int, int], expires_at_ns: int
) -> frozenset[int]:
    """Extend the leases whose epoch stands; returns their shards."""
    rows = await fetch(
        connection,
        "UPDATE shard SET expires_at_ns = $1::bigint"
        " FROM unnest($2::bigint[], $3::bigint[]) AS given (shard_id, epoch)"
        " WHERE shard.shard_id = given.shard_id AND shard.epoch = given.epoch"
        " RETURNING shard.shard_id",
        expires_at_ns,
        int8_array(list(epochs)),
        int8_array(list(epochs.values())),
    )
    return frozenset(shard_id for (shard_id,) in rows)


async def leases(connection: Connection) -> list[ShardLease]:
    """Every shard's, by shard id."""
    return [
        _lease(row)
        for row in await fetch(connection, f"SELECT {COLUMNS} FROM shard ORDER BY shard_id")
    ]


def _lease(row: Row) -> ShardLease:
    shard_id, owner, epoch, sequence, expires_at_ns = row
    return ShardLease(shard_id, owner.decode(), epoch, sequence, expires_at_ns)
