"""A real server for the tests of this folder: one that all share, or one that a test may kill."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from api.config import LOOPBACK_VARIABLE
from tests.product.client import Access, open_account
from tests.product.kills import end_database
from tests.product.server import Preloaded, Product, serving
from tests.product.stock import Stock, stocked
from tests.single_sign_on.identity_provider import IdentityProvider, served


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    preloaded = Preloaded()
    yield preloaded
    preloaded.close()


@pytest.fixture
async def product(preloaded: Preloaded, tmp_path: Path) -> AsyncIterator[Product]:
    """A server of the test's own."""
    async with serving(preloaded, tmp_path / "data") as product:
        yield product


@pytest.fixture
async def loopback_product(preloaded: Preloaded, tmp_path: Path) -> AsyncIterator[Product]:
    """A server of the test's own that may ask others on this machine."""
    environment = {LOOPBACK_VARIABLE: "1"}
    async with serving(preloaded, tmp_path / "data", environment=environment) as product:
        yield product


@pytest.fixture
def identity_provider() -> Iterator[IdentityProvider]:
    provider = IdentityProvider(lambda: datetime.now(UTC), RSAKey.generate_key(2048))
    with served(provider):
        yield provider


@pytest.fixture(scope="session")
async def shared(
    preloaded: Preloaded, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Product]:
    """A server for tests that leave it as it is; each has a namespace of its own."""
    async with serving(preloaded, tmp_path_factory.mktemp("shared") / "data") as product:
        yield product


@pytest.fixture(scope="session")
async def access(shared: Product) -> AsyncIterator[Access]:
    access = await open_account(shared)
    yield access
    await access.owner.http.aclose()


@pytest.fixture(scope="session")
async def rival(shared: Product) -> AsyncIterator[Access]:
    """Another account on the same server."""
    rival = await open_account(shared)
    yield rival
    await rival.owner.http.aclose()


@pytest.fixture
async def stock(
    loopback_product: Product, identity_provider: IdentityProvider
) -> AsyncIterator[Stock]:
    async with stocked(loopback_product, identity_provider, "ours alone") as stock:
        yield stock


@pytest.fixture
async def rival_stock(
    loopback_product: Product, identity_provider: IdentityProvider
) -> AsyncIterator[Stock]:
    async with stocked(loopback_product, identity_provider, "canary-51c7d0be94a2f386") as stock:
        yield stock


@pytest.fixture
def data() -> Iterator[Path]:
    """Not below the tests' own folder, which is closed to the user that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-data-"))
    folder.chmod(0o711)
    yield folder / "data"
    end_database(folder / "data")
    # The parts of a killed cloud may still be closing their files.
    shutil.rmtree(folder, ignore_errors=True)
