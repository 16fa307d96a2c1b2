"""The store: which connections do what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from engine.errors import StoreUnavailable
from engine.persistence.postgres import commit, leases, runs, search
from engine.persistence.postgres.connection import (
    LOOK_UP,
    MIGRATE,
    READ_SECONDS_MAX,
    WRITE,
    Connection,
    Connections,
    read_failure,
    search_role,
    write_failure,
)
from engine.persistence.postgres.migrations import prepare
from engine.persistence.postgres.schema import SCHEMA
from engine.persistence.protocols import (
    FactRow,
    HistoryBatch,
    NamespaceRow,
    RunKey,
    ShardLease,
    ShardWrite,
    StoredRun,
    Wakeup,
)
from engine.visibility.query import VisibilityQuery, VisibilityRow

SEARCH_CONNECTION_COUNT = 2

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]


class PostgresStore:
    """A `Store` in the database at `url`; nothing but calls makes it work.

    Writes, look-ups on the way to a commit, and reads that may take long have connections of
    their own, so that none waits behind another kind. The first `installation` to open it has it.
    Each cell in a database has a `schema` of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        installation: str | None = None,
        schema: str = SCHEMA,
        read_seconds_max: float = READ_SECONDS_MAX,
    ) -> None:
        self._url = url
        self._schema = schema
        self._installation = installation
        self._read_seconds_max = read_seconds_max
        self._pools: _Pools | None = None

    async def open(self, shard_count: int) -> None:
        preparing = Connections(self._url, MIGRATE.within(self._schema), 1)
        try:
            await preparing.run(
                lambda connection: prepare(
                    connection, shard_count, self._installation, self._schema
                )
            )
        except Exception as error:
            raise write_failure(error) from error
        finally:
            await preparing.close()
        self.attach()

    def attach(self) -> None:
        """Open it as it is: half a copy too, which `open` refuses."""
        if self._pools is None:
            self._pools = _Pools(self._url, self._schema, self._read_seconds_max)

    async def close(self) -> None:
        pools, self._pools = self._pools, None
        if pools is not None:
            await pools.close()

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        return await self._write(lambda connection: commit.commit(connection, writes))

    async def acquire(
        self, shard_ids: Sequence[int], owner: str, now_ns: int, expires_at_ns: int
    ) -> list[ShardLease]:
        return await self._write(
            lambda connection: leases.acquire(connection, shard_ids, owner, now_ns, expires_at_ns)
        )

    async def renew(self, epochs: Mapping[int, int], expires_at_ns: int) -> frozenset[int]:
        return await self._write(lambda connection: leases.renew(connection, epochs, expires_at_ns))

    async def leases(self) -> list[ShardLease]:
        return await self._look_up(leases.leases)

    async def load(self, keys: Sequence[RunKey]) -> list[StoredRun | None]:
        return await self._look_up(lambda connection: runs.load(connection, keys))

    async def read_history(
        self, key: RunKey, first_event_id: int, last_event_id: int, bytes_max: int
    ) -> list[HistoryBatch]:
        return await self._look_up(
            lambda connection: runs.read_history(
                connection, key, first_event_id, last_event_id, bytes_max
            )
        )

    async def active_runs(self, shard_id: int) -> list[RunKey]:
        return await self._search(lambda connection: runs.active_runs(connection, shard_id))

    async def wakeups(
        self, shard_id: int, after: Wakeup, until_ns: int, limit: int
    ) -> list[Wakeup]:
        return await self._search(
            lambda connection: runs.wakeups(connection, shard_id, after, until_ns, limit)
        )

    async def workflow_ids(self, shard_id: int) -> list[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        page = await self._search(_page_of(shard_id, b""))
        while page is not None:
            last_key, ids = page
            found |= ids
            page = await self._search(_page_of(shard_id, last_key))
        return sorted(found)

    async def list_visibility(self, query: VisibilityQuery) -> list[VisibilityRow]:
        return await self._search(lambda connection: search.list_visibility(connection, query))

    async def count_visibility(self, query: VisibilityQuery) -> list[tuple[str, int]]:
        return await self._search(lambda connection: search.count_visibility(connection, query))

    async def read_facts(self, after_position: int, limit: int) -> list[FactRow]:
        return await self._search(
            lambda connection: runs.read_facts(connection, after_position, limit)
        )

    async def delete_facts(self, up_to_position: int) -> None:
        def delete_some(connection: Connection) -> Awaitable[bool]:
            return runs.delete_some_facts(connection, up_to_position)

        # Other writes take their turns in between.
        while await self._write(delete_some):
            pass

    async def read_summaries(
        self, namespace_id: str, after_run_id: str, limit: int
    ) -> list[tuple[RunKey, bytes]]:
        return await self._search(
            lambda connection: runs.read_summaries(connection, namespace_id, after_run_id, limit)
        )

    async def put_namespace(self, row: NamespaceRow) -> None:
        await self._write(lambda connection: runs.put_namespace(connection, row))

    async def namespaces(self) -> list[NamespaceRow]:
        return await self._look_up(runs.namespaces)

    async def _write(self, work: Work[T]) -> T:
        try:
            return await self._opened().writes.run(work)
        except Exception as error:
            raise write_failure(error) from error

    async def _look_up(self, work: Work[T]) -> T:
        return await self._read(self._opened().look_ups, work)

    async def _search(self, work: Work[T]) -> T:
        return await self._read(self._opened().searches, work)

    async def _read(self, connections: Connections, work: Work[T]) -> T:
        try:
            return await connections.run(work)
        except Exception as error:
            raise read_failure(error, self._read_seconds_max) from error

    def _opened(self) -> _Pools:
        if self._pools is None:
            raise StoreUnavailable("the store is not open")
        return self._pools


class _Pools:
    """The connections of an open store."""

    def __init__(self, url: str, schema: str, read_seconds_max: float) -> None:
        searching = search_role(read_seconds_max)
        self.writes = Connections(url, WRITE.within(schema), 1)
        self.look_ups = Connections(url, LOOK_UP.within(schema), 1)
        self.searches = Connections(url, searching.within(schema), SEARCH_CONNECTION_COUNT)

    async def close(self) -> None:
        for connections in (self.searches, self.look_ups, self.writes):
            await connections.close()


def _page_of(
    shard_id: int, after_key: bytes
) -> Callable[[Connection], Awaitable[tuple[bytes, set[tuple[str, str]]] | None]]:
    return lambda connection: runs.workflow_ids_page(connection, shard_id, after_key)
