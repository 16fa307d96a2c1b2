"""The tables as numbered steps, and the check that a database has all of them and no later one."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import StoreMismatch
from engine.persistence.postgres.connection import Connection, fetch
from engine.persistence.postgres.holder import claim
from engine.persistence.postgres.schema import HOLDER, SCHEMA, TABLES

MIGRATIONS: Sequence[str] = (TABLES, HOLDER)
"""Number n is at place n - 1. One that was released is never edited; a change is a new one."""

MIGRATION_LOCK = 0x50455243
"""Held while tables are made or changed: nodes that start together take turns."""


async def prepare(
    connection: Connection, shard_count: int, installation: str | None, schema: str = SCHEMA
) -> None:
    """Bring the tables up to date and make the shards of a new store of this installation.

    Raises StoreMismatch for tables of a later release or another number of shards, for those of
    another installation, and for half a copy.
    """
    async with connection.transaction():
        await migrate(connection, schema)
        await claim(connection, installation)
        await _check_shards(connection, shard_count)


async def migrate(connection: Connection, schema: str = SCHEMA) -> None:
    """Apply what is missing, alone until the caller's transaction ends."""
    await fetch(connection, f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})::text")
    await connection.execute(
        f"CREATE SCHEMA IF NOT EXISTS {schema};"
        f" CREATE TABLE IF NOT EXISTS {schema}.migration (number bigint PRIMARY KEY,"
        " applied_at timestamptz NOT NULL DEFAULT now())".encode()
    )
    [(last,)] = await fetch(connection, "SELECT coalesce(max(number), 0) FROM migration")
    if last > len(MIGRATIONS):
        raise StoreMismatch(
            f"the store has schema version {last}, and this release knows {len(MIGRATIONS)}:"
            " start the release that made it, or a later one"
        )
    for number, statements in enumerate(MIGRATIONS[last:], start=last + 1):
        await connection.execute(statements.encode())
        await fetch(connection, "INSERT INTO migration (number) VALUES ($1::bigint)", number)


async def _check_shards(connection: Connection, shard_count: int) -> None:
    [(stored_count,)] = await fetch(connection, "SELECT count(*) FROM shard")
    if stored_count == 0:
        await fetch(
            connection,
            "INSERT INTO shard SELECT shard_id, ''::bytea, 0, 0, 0"
            " FROM generate_series(0, $1::bigint - 1) AS shard_id",
            shard_count,
        )
    elif stored_count != shard_count:
        raise StoreMismatch(f"the store has {stored_count} shards, not {shard_count}")
