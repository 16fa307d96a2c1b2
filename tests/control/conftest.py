"""The whole cloud in one process, on a store in memory, called as a client calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from api.composition import CloudSettings, open_cloud
from api.installation import installation
from api.mail_settings import MailSettings
from engine.persistence.memory import MemoryStore
from tests.control.visitor import ADDRESS, Site
from tests.control_database import KINDS
from tests.mailbox import open_mailbox


@pytest.fixture(scope="module", params=KINDS)
async def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    """One for the tests of a file: each makes accounts of its own, which must not meet."""
    url = None
    if request.param == "postgres":
        make: Callable[[], str] = request.getfixturevalue("postgres_database")
        url = make()
    with installation(tmp_path_factory.mktemp("cloud")) as held:
        async with (
            open_mailbox() as mailbox,
            open_cloud(
                held,
                MemoryStore(),
                CloudSettings(ADDRESS, url, mail=MailSettings(mailbox.url)),
            ) as cloud,
        ):
            yield Site(cloud, mailbox)
