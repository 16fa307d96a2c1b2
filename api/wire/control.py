"""The control plane behind a wire: what frontends ask of it, on both sides.

Client address and TLS facts are fields of a call here and never headers, so that nobody but a
frontend, which is a process of the same installation, can say them.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.act_journal import Kept
from api.asgi import read_body
from api.tls.peer import PEER_EXTENSION, Peer
from api.transports.errors import BodyTooLarge, ControlPlaneAway
from api.wire.client import Disconnected, WireClient
from api.wire.frames import FRAME_BYTES_MAX
from api.wire.server import Service
from tenancy.snapshot_feed import Place

logger = logging.getLogger(__name__)

CONNECT_SECONDS_MAX = 5.0
"""How long a call waits for a control plane that was there a moment ago."""

CAUGHT_UP_SECONDS_MAX = 2.0
ANSWER_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024
NEWS_SECONDS_MAX = 10.0
"""A control plane that is there tells of something each second."""

READS = frozenset({"GET", "HEAD"})

Headers = list[tuple[bytes, bytes]]


class AskNews(msgspec.Struct, tag=1, array_like=True, frozen=True):
    """What came after a place of the snapshot's feed; None asks for all."""

    after: Place | None


class HttpCall(msgspec.Struct, tag=2, array_like=True, frozen=True):
    """A request, its body read. `host` and `chain` are what TLS told of the client."""

    verb: str
    scheme: str
    raw_path: bytes
    path: str
    query: bytes
    headers: Headers
    body: bytes
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    is_secured: bool
    host: str
    chain: tuple[bytes, ...]


class TakeActs(msgspec.Struct, tag=3, array_like=True, frozen=True):
    journal_id: str
    acts: list[Kept]


class NoteKeyUse(msgspec.Struct, tag=4, array_like=True, frozen=True):
    used_at: dict[str, datetime]


class HttpAnswer(msgspec.Struct, array_like=True, frozen=True):
    """`version` is that of the snapshot which the answer may be about."""

    status: int
    headers: Headers
    body: bytes
    version: int


Asked = AskNews | HttpCall | TakeActs | NoteKeyUse

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Asked)
_answers = msgspec.msgpack.Decoder(HttpAnswer)

OK, FAILED = b"\0", b"\1"


class Office(Protocol):
    """The control plane as frontends see it."""

    @property
    def version(self) -> int:
        """Of the snapshot, as it is now."""

    async def news(self, after: Place | None) -> bytes:
        """Signed; see SnapshotFeed."""

    async def take_acts(self, journal_id: str, acts: Sequence[Kept]) -> int:
        """Up to which number the journal's acts are in the audit log."""

    async def note_key_use(self, used_at: Mapping[str, datetime]) -> None:
        """When keys were used last."""


def served(office: Office, app: ASGIApp) -> Service:
    """What the control plane's process answers to a frontend."""

    async def answer(payload: bytes) -> bytes:
        asked = _decoder.decode(payload)
        try:
            if isinstance(asked, AskNews):
                return OK + zlib.compress(await office.news(asked.after), 1)
            if isinstance(asked, HttpCall):
                return OK + _encoder.encode(await _answered(office, app, asked))
            if isinstance(asked, TakeActs):
                reached = await office.take_acts(asked.journal_id, asked.acts)
                return OK + _encoder.encode(reached)
            await office.note_key_use(asked.used_at)
            return OK
        except Exception as error:
            kind = type(asked).__name__
            logger.exception("frontend_call_failed", extra={"method": kind})
            return FAILED + type(error).__name__.encode()

    return answer


async def _answered(office: Office, app: ASGIApp, asked: HttpCall) -> HttpAnswer:
    status, headers, chunks, size_bytes = 500, Headers(), [], 0
    body: bytes | None = asked.body

    async def receive() -> Message:
        nonlocal body
        if body is None:
            # The frontend cancels the call when its client leaves; there is nothing else to say.
            await asyncio.get_running_loop().create_future()
        whole, body = body, None
        return {"type": "http.request", "body": whole, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers, size_bytes
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
        else:
            chunk: bytes = message.get("body", b"")
            size_bytes += len(chunk)
            if size_bytes > ANSWER_BYTES_MAX:
                raise BodyTooLarge(ANSWER_BYTES_MAX)
            chunks.append(chunk)

    await app(_scope(asked), receive, send)
    return HttpAnswer(status, headers, b"".join(chunks), office.version)


def _scope(asked: HttpCall) -> Scope:
    extensions = {PEER_EXTENSION: Peer(asked.host, asked.chain)} if asked.is_secured else {}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": asked.verb,
        "scheme": asked.scheme,
        "path": asked.path,
        "raw_path": asked.raw_path,
        "query_string": asked.query,
        "root_path": "",
        "headers": asked.headers,
        "client": asked.client,
        "server": asked.server,
        "extensions": extensions,
    }


class ControlClient:
    """The control plane as a frontend calls it. Everything may be asked again but what writes."""

    def __init__(self, wire: WireClient) -> None:
        self._wire = wire

    async def news(self, after: Place | None) -> bytes:
        """Raises Disconnected, TimeoutError."""
        async with asyncio.timeout(NEWS_SECONDS_MAX):
            return zlib.decompress(await self._ask(AskNews(after), NEWS_SECONDS_MAX))

    async def take_acts(self, journal_id: str, acts: Sequence[Kept]) -> int:
        """Raises Disconnected."""
        told = await self._ask(TakeActs(journal_id, list(acts)), CONNECT_SECONDS_MAX)
        return int(msgspec.msgpack.decode(told))

    async def note_key_use(self, used_at: Mapping[str, datetime]) -> None:
        """Raises Disconnected."""
        await self._ask(NoteKeyUse(dict(used_at)), CONNECT_SECONDS_MAX)

    async def exchange(self, asked: HttpCall) -> HttpAnswer:
        """Raises ControlPlaneAway."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(0.0, CONNECT_SECONDS_MAX - self._wire.away_seconds)
        while True:
            try:
                return _answers.decode(await self._ask(asked, max(0.0, deadline - loop.time())))
            except Disconnected as error:
                # What was sent and may have been done is the caller's to repeat.
                if asked.verb not in READS or loop.time() >= deadline:
                    raise ControlPlaneAway from error

    async def _ask(self, asked: Asked, patience_seconds: float) -> bytes:
        reply = await self._wire.call(_encoder.encode(asked), connect_seconds_max=patience_seconds)
        if reply[:1] != OK:
            raise Disconnected(f"the control plane failed: {reply[1:].decode()}")
        return reply[1:]


CaughtUp = Callable[[int], Awaitable[None]]
"""Waits until this frontend's snapshot has that version."""


def forwarding(client: ControlClient, caught_up: CaughtUp) -> ASGIApp:
    """Passes requests on to the control plane, and answers when this door knows what it knows.

    So whoever was just answered can use here what it was given.
    """

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = await client.exchange(_call(scope, await read_body(receive)))
        try:
            async with asyncio.timeout(CAUGHT_UP_SECONDS_MAX):
                await caught_up(answer.version)
        except TimeoutError:
            logger.warning("snapshot_behind", extra={"sequence": answer.version})
        start = {"type": "http.response.start", "status": answer.status}
        await send({**start, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    return forward


def _call(scope: Mapping[str, Any], body: bytes) -> HttpCall:
    peer: Peer | None = scope.get("extensions", {}).get(PEER_EXTENSION)
    return HttpCall(
        verb=scope["method"],
        scheme=scope["scheme"],
        raw_path=scope["raw_path"],
        path=scope["path"],
        query=scope["query_string"],
        headers=list(scope["headers"]),
        body=body,
        client=scope.get("client"),
        server=scope.get("server"),
        is_secured=peer is not None,
        host="" if peer is None else peer.host,
        chain=() if peer is None else peer.chain,
    )
