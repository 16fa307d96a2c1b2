"""A cloud for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.examples.cloud import Cloud, running_cloud


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with running_cloud() as running:
        yield running
