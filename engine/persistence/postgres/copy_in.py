"""The rows of another store, put in batch by batch, each with the place it reaches.

A batch and the place are one transaction, so a copy that was cut off anywhere goes on where it
was. Until the copy is verified no server opens the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import msgspec
import psycopg

from engine.errors import StoreNotEmpty
from engine.persistence.checksum import checksum
from engine.persistence.copied import CELL_TABLES, RunRow, SummaryRow
from engine.persistence.postgres.commit import commit
from engine.persistence.postgres.connection import (
    BY_KEY,
    MIGRATE_SECONDS_MAX,
    Connection,
    Connections,
    Role,
    fetch,
    write_failure,
)
from engine.persistence.postgres.holder import check_holder, take
from engine.persistence.postgres.migrations import migrate
from engine.persistence.postgres.schema import SCHEMA, group_of, run_digest
from engine.persistence.postgres.store import PostgresStore
from engine.persistence.protocols import (
    FactRow,
    NamespaceRow,
    RunWrite,
    ShardLease,
    ShardWrite,
)

COPY = Role(MIGRATE_SECONDS_MAX, BY_KEY)
T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]


class Place(NamedTuple):
    """How far a copy has come: `part`, and behind what in it; `is_verified` if it is whole."""

    part: str = ""
    behind: Any = None
    is_verified: bool = False


class CopyIn:
    """A schema of a database that becomes the copy of a cell. `place` is where it is."""

    def __init__(self, url: str, installation: str, schema: str = SCHEMA) -> None:
        self._url = url
        self._installation = installation
        self._schema = schema
        self._connections = Connections(url, COPY.within(schema), 1)
        self._epochs: dict[int, ShardLease] = {}
        self.place = Place()

    async def __aenter__(self) -> CopyIn:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connections.close()

    async def begin(
        self, token: str, shards: Sequence[ShardLease], others: Mapping[str, int]
    ) -> None:
        """Go on with the copy of this token, or begin one where nothing is.

        A copy of another token, which no server has opened, gives way. `others` are tables
        beside the engine's that are copied as well, and how many rows a new one has. Raises
        StoreHeld, StoreNotEmpty and StoreMismatch.
        """
        self._epochs = {lease.shard_id: lease for lease in shards}

        async def work(connection: Connection) -> Place:
            async with connection.transaction():
                await migrate(connection, self._schema)
                await check_holder(connection, self._installation)
                under_way = await fetch(
                    connection, "SELECT token, part, place, is_verified FROM move"
                )
                if under_way and under_way[0][0] == token:
                    _, part, place, is_verified = under_way[0]
                    behind = msgspec.msgpack.decode(place) if place else None
                    return Place(part, behind, is_verified)
                if not under_way:
                    await _check_empty(connection, {"shard": 0, **others})
                tables = ", ".join([*CELL_TABLES, *others])
                await connection.execute(f"TRUNCATE {tables}".encode())
                await take(connection, self._installation)
                await fetch(connection, "DELETE FROM move")
                await fetch(connection, "INSERT INTO move (token) VALUES ($1::text)", token)
                await _put_shards(connection, shards)
            return Place()

        self.place = await self._run(work)

    async def put_namespaces(self, rows: Sequence[NamespaceRow], place: Place) -> None:
        await self._put(
            "INSERT INTO namespace (namespace_id, name, blob) VALUES ($1, $2, $3)",
            [(row.namespace_id.encode(), row.name.encode(), row.blob) for row in rows],
            place,
        )

    async def put_runs(self, rows: Sequence[RunRow], place: Place) -> None:
        by_shard: dict[int, list[RunWrite]] = {}
        for row in rows:
            by_shard.setdefault(row.shard_id, []).append(row.write)
        writes = [
            ShardWrite(shard_id, self._epochs[shard_id].epoch, self._epochs[shard_id].sequence, it)
            for shard_id, it in by_shard.items()
        ]

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                fenced = await commit(connection, writes)
                assert not fenced, "somebody else took a shard of a copy under way"
                await _note(connection, place)

        await self._advance(work, place)

    async def put_summaries(self, rows: Sequence[SummaryRow], place: Place) -> None:
        await self._put(
            "INSERT INTO summary (shard_group, run_key, namespace_id, workflow_id, run_id,"
            " checksum, blob) VALUES ($1::bigint, $2, $3, $4, $5, $6::bigint, $7)",
            [
                (
                    group_of(key),
                    run_digest(key),
                    *(name.encode() for name in key),
                    checksum(blob),
                    blob,
                )
                for key, blob in rows
            ],
            place,
        )

    async def put_facts(self, rows: Sequence[FactRow], place: Place) -> None:
        """At their positions, which readers have noted."""
        await self._put(
            "INSERT INTO fact (position, shard_id, sequence, checksum, blob)"
            " OVERRIDING SYSTEM VALUE VALUES ($1::bigint, $2::bigint, $3::bigint, $4::bigint, $5)",
            [(*row[:3], checksum(row.blob, row.shard_id, row.sequence), row.blob) for row in rows],
            place,
        )

    async def draw_behind(self, position: int) -> None:
        """The next fact gets a later position, so that no reader passes it by."""

        async def work(connection: Connection) -> None:
            await fetch(
                connection,
                "SELECT setval('fact_position_seq', greatest($1::bigint, 1), $1::bigint > 0)",
                position,
            )

        await self._run(work)

    def store(self, read_seconds_max: float) -> PostgresStore:
        """The copy as a server would ask it, whole or not."""
        store = PostgresStore(self._url, schema=self._schema, read_seconds_max=read_seconds_max)
        store.attach()
        return store

    async def row_counts(self) -> dict[str, int]:
        async def work(connection: Connection) -> dict[str, int]:
            counts = {}
            for name in CELL_TABLES:
                [(counts[name],)] = await fetch(connection, f"SELECT count(*) FROM {name}")
            return counts

        return await self._run(work)

    async def confirm(self) -> None:
        """The copy is verified: a server of its installation may open it."""

        async def work(connection: Connection) -> None:
            await fetch(connection, "UPDATE move SET is_verified = true")

        await self._run(work)
        self.place = self.place._replace(is_verified=True)

    async def _put(self, statement: str, rows: Sequence[tuple[Any, ...]], place: Place) -> None:
        async def work(connection: Connection) -> None:
            async with connection.transaction(), connection.cursor() as cursor:
                await cursor.executemany(statement.encode(), rows)
                await _note(connection, place)

        await self._advance(work, place)

    async def _advance(self, work: Work[None], place: Place) -> None:
        await self._run(work)
        self.place = place

    async def _run(self, work: Work[T]) -> T:
        try:
            return await self._connections.run(work)
        except psycopg.Error as error:
            raise write_failure(error) from error


async def _check_empty(connection: Connection, tables: Mapping[str, int]) -> None:
    for table, new_rows in tables.items():
        if len(await fetch(connection, f"SELECT 1 FROM {table} LIMIT {new_rows + 1}")) > new_rows:
            raise StoreNotEmpty


async def _note(connection: Connection, place: Place) -> None:
    await fetch(
        connection,
        "UPDATE move SET part = $1::text, place = $2",
        place.part,
        msgspec.msgpack.encode(place.behind),
    )


async def _put_shards(connection: Connection, shards: Sequence[ShardLease]) -> None:
    """With their epochs, which never go back."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            b"INSERT INTO shard (shard_id, owner, epoch, sequence, expires_at_ns)"
            b" VALUES ($1::bigint, $2, $3::bigint, $4::bigint, $5::bigint)",
            [
                (it.shard_id, it.owner.encode(), it.epoch, it.sequence, it.expires_at_ns)
                for it in shards
            ],
        )
