"""A console in front of a cloud in memory, and a visitor who is or is not logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tests.web.fake_cloud import COOKIE, CSRF, FakeCloud, populated
from tests.web.markup import Page
from web import console

ORIGIN = "http://cloud.test"


class Visitor:
    """A browser without scripts: it gets pages and sends forms."""

    def __init__(self, cloud: FakeCloud, *, is_logged_in: bool) -> None:
        self.cloud = cloud
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=console(cloud.app())),
            base_url=ORIGIN,
            headers={"accept": "text/html", "cookie": COOKIE if is_logged_in else ""},
        )

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def page(self, path: str, status: int = 200) -> Page:
        response = await self.get(path)
        assert response.status_code == status, response.text
        return Page(response.text)

    async def post(self, path: str, *, csrf: str = CSRF, **form: str) -> httpx.Response:
        return await self.client.post(path, data={"csrf": csrf, **form}, headers={"origin": ORIGIN})


@pytest.fixture
def cloud() -> FakeCloud:
    return populated()


@pytest.fixture
async def visit() -> AsyncIterator[Callable[..., Visitor]]:
    """`visit(cloud)` is logged in; `visit(cloud, is_logged_in=False)` is not."""
    visitors: list[Visitor] = []

    def enter(cloud: FakeCloud, *, is_logged_in: bool = True) -> Visitor:
        visitors.append(Visitor(cloud, is_logged_in=is_logged_in))
        return visitors[-1]

    yield enter
    for visitor in visitors:
        await visitor.client.aclose()


@pytest.fixture
def user(visit: Callable[..., Visitor], cloud: FakeCloud) -> Visitor:
    return visit(cloud)


@pytest.fixture
def stranger(visit: Callable[..., Visitor], cloud: FakeCloud) -> Visitor:
    return visit(cloud, is_logged_in=False)
