"""The whole cloud in one process, on a store in memory, called as a client calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api.composition import open_cloud
from api.installation import installation
from engine.persistence.memory import MemoryStore
from tests.control.visitor import ADDRESS, Site


@pytest.fixture(scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """One for all tests: each makes accounts of its own, which must not meet."""
    with installation(tmp_path_factory.mktemp("cloud")) as held:
        async with open_cloud(held, MemoryStore(), console_address=ADDRESS) as cloud:
            yield Site(cloud)
