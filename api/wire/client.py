"""The side of a connection that asks."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from api.wire.frames import BrokenFrames, FrameReader, Kind, encoded

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 1.0

Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[object]]
"""Connects a protocol made by its argument to the server; raises OSError where nobody listens."""


class Disconnected(Exception):
    """The connection to another process was lost, or could not be made in time."""


class WireClient:
    """Keeps one connection to a server, and makes it again whenever it is lost.

    Between `start` and `stop`, `call` may be used by any number of tasks at a time.
    """

    def __init__(self, name: str, connect: Connect) -> None:
        self._name = name
        self._connect = connect
        self._numbers = itertools.count(1)
        self._connection: _Connection | None = None
        self._connected = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._lost_at = 0.0

    def start(self) -> None:
        self._lost_at = asyncio.get_running_loop().time()
        self._keeper = asyncio.create_task(self._keep(), name=f"connect to {self._name}")

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def away_seconds(self) -> float:
        """How long there has been no connection."""
        if self._connection is not None:
            return 0.0
        return asyncio.get_running_loop().time() - self._lost_at

    async def call(self, payload: bytes, *, connect_seconds_max: float) -> bytes:
        """The server's answer. Cancelling it cancels the call over there.

        Raises Disconnected: then the call may have been executed, or not.
        """
        connection = self._connection
        if connection is None:
            connection = await self._waited_for(connect_seconds_max)
        return await connection.call(next(self._numbers), payload)

    async def _waited_for(self, seconds: float) -> _Connection:
        try:
            async with asyncio.timeout(seconds):
                while self._connection is None:
                    await self._connected.wait()
        except TimeoutError:
            raise Disconnected(self._name) from None
        return self._connection

    async def _keep(self) -> None:
        pause = PAUSE_SECONDS
        while True:
            connection = _Connection(self._name, self._lost)
            try:
                await self._connect(lambda made=connection: made)  # type: ignore[misc]
            except OSError as error:
                if pause == PAUSE_SECONDS:
                    extra = {"cell_id": self._name, "why": type(error).__name__}
                    logger.info("wire_not_connected", extra=extra)
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
                continue
            pause = PAUSE_SECONDS
            if not connection.lost.is_set():
                self._connection = connection
                self._connected.set()
                await connection.lost.wait()

    def _lost(self) -> None:
        if self._connection is not None:
            self._lost_at = asyncio.get_running_loop().time()
        self._connection = None
        self._connected.clear()


class _Connection(asyncio.Protocol):
    def __init__(self, name: str, on_lost: Callable[[], None]) -> None:
        self.lost = asyncio.Event()
        self._name = name
        self._on_lost = on_lost
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._open: dict[int, asyncio.Future[bytes]] = {}
        self._writable = asyncio.Event()
        self._writable.set()

    async def call(self, number: int, payload: bytes) -> bytes:
        if not self._writable.is_set():
            await self._writable.wait()
        if self._transport is None:
            raise Disconnected(self._name)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        self._transport.write(encoded(Kind.CALL, number, payload))
        try:
            return await answer
        finally:
            # Whoever gives up has still an entry here; an answer that comes later finds none.
            if self._open.pop(number, None) is not None and self._transport is not None:
                self._transport.write(encoded(Kind.CANCEL, number))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                answer = self._open.pop(frame.number, None)
                if frame.kind is Kind.ANSWER and answer is not None and not answer.done():
                    answer.set_result(frame.payload)
        except BrokenFrames as error:
            logger.warning("wire_broken", extra={"why": str(error)})
            self.close()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_lost()
        self._writable.set()
        calls, self._open = self._open, {}
        for answer in calls.values():
            if not answer.done():
                answer.set_exception(Disconnected(self._name))
        self.lost.set()
