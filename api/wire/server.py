"""The side of a connection that answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from api.wire.frames import BrokenFrames, Frame, FrameReader, Kind, encoded

logger = logging.getLogger(__name__)

Service = Callable[[bytes], Awaitable[bytes]]
"""Answers a call. It raises nothing: refusals are answers too."""


class WireServer:
    """Answers the calls of every connection; `protocol` makes one, for a listening socket."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connections: set[_Connection] = set()
        self._is_draining = False

    def protocol(self) -> asyncio.Protocol:
        return _Connection(self._service, self._connections)

    async def drain(self, seconds: float) -> None:
        """Wait for the calls under way, then close every connection."""
        calls = [call for connection in self._connections for call in connection.calls.values()]
        if calls:
            await asyncio.wait(calls, timeout=seconds)
        for connection in tuple(self._connections):
            connection.close()


class _Connection(asyncio.Protocol):
    def __init__(self, service: Service, connections: set[_Connection]) -> None:
        self.calls: dict[int, asyncio.Task[None]] = {}
        self._service = service
        self._connections = connections
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._frames.feed(data):
                self._received(frame)
        except BrokenFrames as error:
            logger.warning("wire_broken", extra={"why": str(error)})
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever asked is gone, so nobody waits for the answers."""
        self._transport = None
        self._connections.discard(self)
        for call in tuple(self.calls.values()):
            call.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _received(self, frame: Frame) -> None:
        if frame.kind is Kind.CALL:
            task = asyncio.create_task(self._answer(frame.number, frame.payload))
            self.calls[frame.number] = task
        elif frame.kind is Kind.CANCEL:
            call = self.calls.get(frame.number)
            if call is not None:
                call.cancel()

    async def _answer(self, number: int, payload: bytes) -> None:
        try:
            answer = await self._service(payload)
            if self._transport is not None:
                self._transport.write(encoded(Kind.ANSWER, number, answer))
        finally:
            del self.calls[number]
