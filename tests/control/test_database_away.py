"""A cloud that is started while its PostgreSQL is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api import health
from api.composition import CloudSettings, open_cloud
from api.health import Readiness
from api.installation import installation
from engine.persistence.memory import MemoryStore
from tenancy import SnapshotRejected
from tests.control.visitor import ADDRESS, Site

TURN_SECONDS_MAX = 60
LOOK_AGAIN_SECONDS = 0.05
LAST_TABLE = b"SELECT to_regclass('control.usage_shard')"

pytestmark = pytest.mark.allow_log(
    "snapshot_from_storage",
    "snapshot_refresh_failed",
    "upkeep_failed",
    "database_gave_up",
)


@dataclass
class Away:
    """A database that lets nobody in until it is `back`."""

    server: str
    url: str
    name: str

    def leave(self) -> None:
        self._order(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false")
        self._order(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"
        )

    def come_back(self) -> None:
        self._order(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")

    def _order(self, statement: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def database(postgres_database: Callable[[], str]) -> Away:
    url = postgres_database()
    return Away(make_conninfo(url, dbname="postgres"), url, str(conninfo_to_dict(url)["dbname"]))


async def test_it_serves_what_it_kept_until_the_database_is_back(
    database: Away, tmp_path: Path
) -> None:
    store, url = MemoryStore(), database.url
    with installation(tmp_path) as held:
        async with open_cloud(held, store, CloudSettings(ADDRESS, url)) as cloud:
            owner = await Site(cloud).owner()
            name, key = await owner.namespace(), await owner.key()
        database.leave()
        async with open_cloud(held, store, CloudSettings(ADDRESS, url)) as cloud:
            program = Site(cloud).program(key)
            assert (await program.call("GET", "/readyz")).json()["control_plane"] == "ok"
            assert (await program.call("GET", f"/api/v1/namespaces/{name}")).status_code == 200
            refusal = await program.call("GET", "/cloud/namespaces")
            assert (refusal.status_code, "retry" in refusal.text) == (503, True)
            database.come_back()
            (namespace,) = (await program.get("/cloud/namespaces"))["namespaces"]
            assert namespace["namespace"] == name


async def test_a_control_plane_is_ready_while_it_reads_its_database_and_a_door_without(
    database: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "DATABASE_READ_SECONDS_MAX", 2.0)
    store, url = MemoryStore(), database.url

    async def until(is_ready: bool, tell: Readiness) -> str:
        """What it says of its database once it is ready, or is not."""
        async with asyncio.timeout(TURN_SECONDS_MAX):
            while tell()["ready"] is not is_ready:  # noqa: ASYNC110 - as operators look
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return str(tell()["database"])

    with installation(tmp_path) as held:
        async with open_cloud(held, store, CloudSettings(ADDRESS, url)) as cloud:
            tell = health.control_plane_readiness(cloud.control.snapshot)
            visitor = Site(cloud).stranger()
            assert await until(True, tell) == "ok"
            database.leave()
            assert "could not be read for" in await until(False, tell)
            assert cloud.database.failure_count >= 1
            assert (await visitor.call("GET", "/readyz")).status_code == 200
            database.come_back()
            assert await until(True, tell) == "ok"


async def test_it_makes_its_tables_when_the_database_is_there(
    database: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.composition.cloud.MIGRATE_AGAIN_SECONDS", 0.01)
    store, url = MemoryStore(), database.url
    with installation(tmp_path) as held:
        # So that there is a snapshot to start from.
        async with open_cloud(held, store, CloudSettings(ADDRESS)):
            pass
        database.leave()
        async with open_cloud(held, store, CloudSettings(ADDRESS, url)) as cloud:
            database.come_back()
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as looking:
                while await (await looking.execute(LAST_TABLE)).fetchone() == (None,):
                    pass
            assert (await Site(cloud).owner()).account_id


async def test_without_a_database_and_anything_kept_of_it_it_does_not_start(
    tmp_path: Path,
) -> None:
    url = f"postgresql:///perdure?host={tmp_path}"
    with installation(tmp_path) as held, pytest.raises(SnapshotRejected, match="missing"):
        await open_cloud(held, MemoryStore(), CloudSettings(ADDRESS, url)).__aenter__()
