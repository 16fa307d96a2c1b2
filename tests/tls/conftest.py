"""One cloud for all tests of TLS: each makes tenants of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.tls.site import TlsSite, serving


@pytest.fixture(scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsSite]:
    async with serving(tmp_path_factory.mktemp("tls") / "data") as site:
        yield site
