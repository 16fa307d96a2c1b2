"""The frames of a connection: a kind, the number of the call that it is about, and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

FRAME_BYTES_MAX = 32 * 1024 * 1024
"""More than any request that a door takes, and any answer that a cell gives."""

_HEAD = Struct("!IBQ")


class Kind(IntEnum):
    CALL = 1
    ANSWER = 2
    CANCEL = 3


class Frame(NamedTuple):
    kind: Kind
    number: int
    payload: bytes


class BrokenFrames(Exception):
    """What came is no sequence of frames; the connection is of no use any more."""


def encoded(kind: Kind, number: int, payload: bytes = b"") -> bytes:
    return _HEAD.pack(len(payload), kind, number) + payload


class FrameReader:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises BrokenFrames."""
        buffer = self._buffer
        buffer += data
        begin = 0
        try:
            while len(buffer) - begin >= _HEAD.size:
                size, kind, number = _HEAD.unpack_from(buffer, begin)
                if size > FRAME_BYTES_MAX or kind not in _KINDS:
                    raise BrokenFrames(f"a frame of kind {kind} with {size} bytes")
                end = begin + _HEAD.size + size
                if len(buffer) < end:
                    break
                yield Frame(_KINDS[kind], number, bytes(buffer[begin + _HEAD.size : end]))
                begin = end
        finally:
            del buffer[:begin]


_KINDS = {int(kind): kind for kind in Kind}
