"""An identity provider at an address of its own, and accounts that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from random import Random

import pytest
from joserfc.jwk import RSAKey

from api.composition import CloudSettings, open_cloud
from api.installation import installation
from engine.persistence.memory import MemoryStore
from tenancy import Passwords
from tenancy.outgoing import Outgoing
from tests.control.visitor import ADDRESS, Site
from tests.single_sign_on.identity_provider import IdentityProvider, served
from tests.single_sign_on.world import EMAIL, World, open_world


@pytest.fixture(scope="session")
def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048)


@pytest.fixture(scope="session")
def foreign_key() -> RSAKey:
    """Of somebody else."""
    return RSAKey.generate_key(2048)


@pytest.fixture(scope="session")
def running(rsa_key: RSAKey) -> Iterator[IdentityProvider]:
    provider = IdentityProvider(lambda: datetime.now(UTC), rsa_key)
    with served(provider):
        yield provider


@pytest.fixture
def provider(running: IdentityProvider, rsa_key: RSAKey) -> IdentityProvider:
    """As good as new, at the same address."""
    fresh = IdentityProvider(running.now, rsa_key, issuer=running.issuer)
    fresh.user = {"sub": "u-1", "email": EMAIL, "email_verified": True}
    running.__dict__.update(fresh.__dict__)
    return running


@pytest.fixture
def second(provider: IdentityProvider, foreign_key: RSAKey) -> Iterator[IdentityProvider]:
    """Another provider, with a key of its own."""
    other = IdentityProvider(provider.now, foreign_key)
    other.user = {"sub": "u-1", "email": EMAIL, "email_verified": True}
    with served(other):
        yield other


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(token_bytes=Random(1).randbytes, memory_kib=8, passes=1)
    yield passwords
    passwords.close()


@pytest.fixture
async def world(
    sqlite_control_url: str, provider: IdentityProvider, passwords: Passwords
) -> AsyncIterator[World]:
    async with open_world(sqlite_control_url, provider, passwords) as world:
        yield world


@pytest.fixture
async def any_world(
    control_url: str, provider: IdentityProvider, passwords: Passwords
) -> AsyncIterator[World]:
    """The same on each kind of database."""
    async with open_world(control_url, provider, passwords) as world:
        yield world


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A cloud that may ask a provider on this machine."""
    with installation(tmp_path_factory.mktemp("cloud")) as held:
        settings = CloudSettings(ADDRESS, outgoing=Outgoing(allows_loopback=True))
        async with open_cloud(held, MemoryStore(), settings) as cloud:
            yield Site(cloud)
