"""A control plane on a real database for each test, and once more on the other kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest

from tenancy import Passwords
from tests.tenancy.cloud import Cloud, open_cloud


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(token_bytes=Random(1).randbytes, memory_kib=8, passes=1)
    yield passwords
    passwords.close()


@pytest.fixture
async def cloud(control_url: str, tmp_path: Path, passwords: Passwords) -> AsyncIterator[Cloud]:
    async with open_cloud(control_url, tmp_path / "snapshot", passwords) as cloud:
        yield cloud


@pytest.fixture
async def postgres_cloud(
    postgres_control_url: str, tmp_path: Path, passwords: Passwords
) -> AsyncIterator[Cloud]:
    """For what can only go wrong where there are several writers."""
    async with open_cloud(postgres_control_url, tmp_path / "snapshot", passwords) as cloud:
        yield cloud
