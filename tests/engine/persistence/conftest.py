"""Every store, empty and open, and the values to fill it with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.persistence.memory import MemoryStore
from engine.persistence.postgres import PostgresStore
from engine.persistence.protocols import Store
from engine.persistence.sqlite import SqliteStore
from tests.engine.persistence.values import SHARD_COUNT

STORES: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda request: SqliteStore(request.getfixturevalue("tmp_path") / "cell.db"),
    "postgres": lambda request: PostgresStore(request.getfixturevalue("postgres_url")),
}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """One of the stores; a new store joins the suite by joining `STORES`."""
    store = STORES[request.param](request)
    await store.open(SHARD_COUNT)
    yield store
    await store.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "cell.db")
    await store.open(SHARD_COUNT)
    yield store
    await store.close()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_url)
    await store.open(SHARD_COUNT)
    yield store
    await store.close()
