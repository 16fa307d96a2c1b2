"""A control plane on a real SQLite file for each test."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest

from tenancy import ControlPlane, Database, Passwords, migrate
from tests.tenancy.cloud import PEPPER, Clock, Cloud


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty migrated database; each test works on a copy."""
    path = tmp_path_factory.mktemp("tenancy") / "migrated.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(token_bytes=Random(1).randbytes, memory_kib=8, passes=1)
    yield passwords
    passwords.close()


@pytest.fixture
async def cloud(migrated_file: Path, tmp_path: Path, passwords: Passwords) -> AsyncIterator[Cloud]:
    path = tmp_path / "control.db"
    shutil.copy(migrated_file, path)
    url = f"sqlite+aiosqlite:///{path}"
    database, clock, random = Database(url), Clock(), Random(7)
    control = ControlPlane(
        database,
        now=clock.now,
        token_bytes=random.randbytes,
        pepper=PEPPER,
        passwords=passwords,
        cell="cell-1",
        snapshot_path=tmp_path / "snapshot",
    )
    yield Cloud(url, database, clock, random, control)
    await database.aclose()
