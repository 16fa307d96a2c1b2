"""A cell behind a wire: its RPCs as calls of bytes, on both sides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from api.catalogue import CATALOGUE, POLL_SECONDS
from api.cells import Cell, CellHealth
from api.telemetry import Telemetry
from api.wire.client import Connect, Disconnected, WireClient
from api.wire.server import Service
from api.wire.snapshot_copy import METHODS, SnapshotCopy
from engine.call import Call
from engine.cell import remote
from engine.errors import EngineError, Internal, Unavailable
from engine.handlers.handler import CELL_SERVICE
from tenancy import Access

logger = logging.getLogger(__name__)

CONNECT_SECONDS_MAX = 10.0
"""How long a call waits for a cell that is not there: longer than a cell takes to start again."""

HEALTH_SECONDS = 0.5
HEALTH_SECONDS_MAX = 5.0
AWAY = CellHealth(False, "the cell cannot be reached")


class CellCall(msgspec.Struct, array_like=True, frozen=True):
    """A call as it goes over the wire; without a method it asks how the cell is."""

    method: str
    request: bytes
    call: Call


ASK_HEALTH = CellCall("", b"", Call("", ""))

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CellCall)
_health_decoder = msgspec.msgpack.Decoder(CellHealth)


def served(cell: Cell, copy: SnapshotCopy | None = None) -> Service:
    """What the cell's process answers to those who call it."""
    rpc = cell.call

    async def answer(payload: bytes) -> bytes:
        asked = _decoder.decode(payload)
        if not asked.method:
            return _encoder.encode(cell.health)
        try:
            if copy is not None and asked.method in METHODS:
                return remote.OK + await copy.answer(asked.method, asked.request)
            return remote.OK + await rpc(asked.method, asked.request, asked.call)
        except EngineError as error:
            return remote.encode_refusal(error)
        except Exception:
            logger.exception("cell_call_failed", extra={"method": asked.method})
            return remote.encode_refusal(Internal())

    return answer


class CellClient:
    """A cell as its callers see it, wherever its process runs.

    A call that may be made twice is made again when the connection is lost under it, as long as
    its caller waits; any other is refused as Unavailable, which every client tries again.
    """

    def __init__(self, wire: WireClient) -> None:
        self._wire = wire
        self._repeatable = repeatable()
        self.health = AWAY

    async def call(self, method: str, request: bytes, call: Call) -> bytes:
        """Raises EngineError."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + call.timeout_seconds
        while True:
            payload = _encoder.encode(CellCall(method, request, call))
            patience = min(call.timeout_seconds, CONNECT_SECONDS_MAX)
            try:
                reply = await self._wire.call(payload, connect_seconds_max=patience)
                return remote.answer_of(reply)
            except Disconnected:
                left = deadline - loop.time()
                if left <= 0 or not self._is_repeatable(method):
                    raise Unavailable("the cell cannot be reached now") from None
                call = call.within(left)

    def _is_repeatable(self, method: str) -> bool:
        # What the control plane asks of a cell may be asked again; see CellLink.
        return method in self._repeatable or method.startswith(CELL_SERVICE)

    async def watch(self) -> None:
        """Keep `health` up to date, for ever."""
        while True:
            try:
                async with asyncio.timeout(HEALTH_SECONDS_MAX):
                    told = await self._wire.call(_encoder.encode(ASK_HEALTH), connect_seconds_max=0)
                self.health = _health_decoder.decode(told)
            except (Disconnected, TimeoutError):
                self.health = AWAY
            await asyncio.sleep(HEALTH_SECONDS)


@asynccontextmanager
async def open_cell_client(
    name: str, connect: Connect, telemetry: Telemetry | None = None
) -> AsyncIterator[Cell]:
    """A cell that is connected to, now and whenever it comes back."""
    wire = WireClient(name, connect)
    client = CellClient(wire)
    wire.start()
    watching = asyncio.create_task(client.watch(), name=f"watch {name}")
    try:
        yield client if telemetry is None else _Traced(client, telemetry)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await wire.stop()


class _Traced:
    """A cell whose calls are spans of this process too."""

    def __init__(self, cell: Cell, telemetry: Telemetry) -> None:
        self._cell = cell
        self.call = telemetry.cell(cell.call, is_remote=True)

    @property
    def health(self) -> CellHealth:
        return self._cell.health


def repeatable() -> frozenset[str]:
    """The polls, whose lost tasks come again, and what readers may call."""
    return frozenset(
        name
        for name, row in CATALOGUE.items()
        if row.timeout_seconds == POLL_SECONDS or Access.READ in row.access
    )
