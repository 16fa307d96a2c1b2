"""The system cell's data lie beside the customers' and never among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from api.installation import Installation, Secrets, installation
from api.move.command import MOVED, _set_aside
from api.system.cell import SHARD_COUNT
from api.system.store import system_store
from engine.persistence.postgres import PostgresStore
from engine.persistence.protocols import NamespaceRow


@pytest.fixture
def held(tmp_path: Path) -> Installation:
    return Installation(tmp_path, Secrets(b"pepper" * 6, {1: b"k" * 32}, 1))


async def test_two_cells_share_a_database_and_nothing_in_it(
    held: Installation, postgres_database: Callable[[], str]
) -> None:
    url = postgres_database()
    customers, system = PostgresStore(url, installation=held.cell_id), system_store(held, url)
    try:
        await customers.open(16)
        await system.open(SHARD_COUNT)
        await customers.put_namespace(NamespaceRow("orders", "orders.acme", b"customers"))
        await system.put_namespace(NamespaceRow("perdure-system", "perdure-system", b"system"))
        assert [row.namespace_id for row in await customers.namespaces()] == ["orders"]
        assert [row.namespace_id for row in await system.namespaces()] == ["perdure-system"]
        assert (len(await customers.leases()), len(await system.leases())) == (16, SHARD_COUNT)
    finally:
        await customers.close()
        await system.close()


async def test_a_moved_installation_leaves_its_file_behind(tmp_path: Path) -> None:
    with installation(tmp_path / "data") as held:
        store = system_store(held, None)
        await store.open(SHARD_COUNT)
        await store.close()
        assert held.system_path.exists()
        assert _set_aside(held, ["cell-1"])
        assert not held.system_path.exists()
        assert held.system_path.with_name(f"system.db{MOVED}").exists()
