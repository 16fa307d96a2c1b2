"""A control plane behind a wire answers a frontend as it would a client of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api.act_journal import Kept
from api.tls.peer import PEER_EXTENSION, Peer
from api.transports.errors import BodyTooLarge, ControlPlaneAway
from api.wire import control
from api.wire.client import Disconnected
from api.wire.control import ControlClient, forwarding, served
from tenancy.snapshot_feed import Place
from tests.api.wire.line import Line, line

AT = datetime(2026, 3, 1, tzinfo=UTC)


class FakeOffice:
    def __init__(self) -> None:
        self.version = 7
        self.used: dict[str, datetime] = {}

    async def news(self, after: Place | None) -> bytes:
        return repr(after).encode() * 1_000

    async def take_acts(self, journal_id: str, acts: Sequence[Kept]) -> int:
        if not acts:
            raise ValueError("secret")
        return acts[-1][0]

    async def note_key_use(self, used_at: Mapping[str, datetime]) -> None:
        self.used |= used_at


class Application:
    """Remembers the last scope, answers with its body; the path says more."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.begun = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        message = await receive()
        assert not message["more_body"]
        if scope["path"] == "/first-never" and not self.begun.is_set():
            self.begun.set()
            await receive()
        body = b"x" * (64 * 1024 * 1024) if scope["path"] == "/endless" else message["body"]
        headers = [(b"x-of", b"control"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body[:10], "more_body": True})
        await send({"type": "http.response.body", "body": body[10:]})


class World:
    def __init__(self, held: Line, app: Application, office: FakeOffice) -> None:
        self.line = held
        self.app = app
        self.office = office
        self.client = ControlClient(held.client)
        self.waited: list[int] = []

    async def caught_up(self, version: int) -> None:
        self.waited.append(version)

    def visitor(self, extensions: Mapping[str, object] | None = None) -> httpx.AsyncClient:
        """Of a frontend in front of this control plane."""
        forward = forwarding(self.client, self.caught_up)

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            await forward({**scope, "extensions": extensions or {}}, receive, send)

        transport = httpx.ASGITransport(app=told, client=("192.0.2.7", 4711))
        return httpx.AsyncClient(transport=transport, base_url="https://cloud.test")


@asynccontextmanager
async def behind_a_wire(tmp_path: Path) -> AsyncIterator[World]:
    app, office = Application(), FakeOffice()
    application: ASGIApp = app
    async with line(tmp_path, served(office, application)) as held:
        await held.start()
        yield World(held, app, office)


async def test_a_request_arrives_as_it_was_made_and_its_answer_as_it_was_given(
    tmp_path: Path,
) -> None:
    async with behind_a_wire(tmp_path) as world:
        answer = await world.visitor().post(
            "/a%2Fb?q=%20", content=b"body" * 10_000, headers={"x-own": "1"}
        )
    assert (answer.status_code, answer.content) == (201, b"body" * 10_000)
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    scope = world.app.scopes[0]
    assert (scope["method"], scope["raw_path"], scope["path"]) == ("POST", b"/a%2Fb", "/a/b")
    assert (scope["query_string"], scope["scheme"]) == (b"q=%20", "https")
    assert scope["client"] == ("192.0.2.7", 4711)
    assert (b"x-own", b"1") in scope["headers"]


async def test_what_tls_told_comes_from_the_frontend_and_from_no_header(tmp_path: Path) -> None:
    async with behind_a_wire(tmp_path) as world:
        peer = Peer("orders.acme00.localhost", (b"leaf", b"issuer"))
        await world.visitor({PEER_EXTENSION: peer}).get("/")
        await world.visitor().get("/", headers={"x-forwarded-for": "203.0.113.1"})
    secured, plain = world.app.scopes
    told = secured["extensions"][PEER_EXTENSION]
    assert (told.host, told.chain) == (peer.host, peer.chain)
    assert plain["extensions"] == {}
    assert plain["client"] == ("192.0.2.7", 4711)


async def test_an_answer_is_held_back_until_the_door_knows_what_it_is_about(
    tmp_path: Path,
) -> None:
    async with behind_a_wire(tmp_path) as world:
        await world.visitor().get("/")
    assert world.waited == [7]


async def test_a_read_is_made_again_and_a_write_is_its_callers_to_repeat(tmp_path: Path) -> None:
    async with behind_a_wire(tmp_path) as world:
        visitor = world.visitor()
        for verb, count in (("GET", 2), ("POST", 1)):
            world.app.scopes.clear()
            world.app.begun.clear()
            asked = asyncio.create_task(visitor.request(verb, "/first-never"))
            await world.app.begun.wait()
            await world.line.stop()
            await world.line.start()
            if verb == "GET":
                assert (await asked).status_code == 201
            else:
                with pytest.raises(ControlPlaneAway):
                    await asked
            assert len(world.app.scopes) == count


async def test_who_asks_a_control_plane_that_is_away_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind_a_wire(tmp_path) as world:
        await world.visitor().get("/")
        await world.line.stop()
        monkeypatch.setattr(control, "CONNECT_SECONDS_MAX", 0)
        with pytest.raises(ControlPlaneAway, match="workers, keys and certificates go on"):
            await world.visitor().get("/")
        with pytest.raises(Disconnected):
            await world.client.take_acts("journal", [(1, b"")])
        await world.line.start()


async def test_what_is_too_large_is_refused_on_either_way(
    tmp_path: Path, allow_log: Callable[..., None]
) -> None:
    allow_log("frontend_call_failed")
    async with behind_a_wire(tmp_path) as world:
        with pytest.raises(BodyTooLarge):
            await world.visitor().post("/", content=b"x" * (4 * 1024 * 1024 + 1))
        assert world.app.scopes == []
        with pytest.raises(ControlPlaneAway):
            await world.visitor().post("/endless")


async def test_news_acts_and_key_use_arrive(tmp_path: Path, allow_log: Callable[..., None]) -> None:
    allow_log("frontend_call_failed")
    async with behind_a_wire(tmp_path) as world:
        assert await world.client.news(None) == b"None" * 1_000
        place = Place(3, "feed")
        assert await world.client.news(place) == repr(place).encode() * 1_000
        assert await world.client.take_acts("journal", [(1, b"a"), (4, b"b")]) == 4
        await world.client.note_key_use({"key-1": AT})
        assert world.office.used == {"key-1": AT}
        with pytest.raises(Disconnected) as refusal:
            await world.client.take_acts("journal", [])
        assert "secret" not in str(refusal.value)
