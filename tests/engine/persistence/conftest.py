"""Every store, empty and open, and the values to fill it with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.persistence.memory import MemoryStore
from engine.persistence.protocols import Store
from engine.persistence.sqlite import SqliteStore
from tests.engine.persistence.values import SHARD_COUNT

STORES: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "cell.db"),
}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """One of the stores; a new store joins the suite by joining `STORES`."""
    store = STORES[request.param](tmp_path)
    await store.open(SHARD_COUNT)
    yield store
    await store.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "cell.db")
    await store.open(SHARD_COUNT)
    yield store
    await store.close()
