"""A checksum beside every blob, so that damage is noticed before anything is answered from it."""

from __future__ import annotations

import zlib
from typing import Any

from engine.errors import DataLoss


def checksum(blob: bytes, *ids: int) -> int:
    """CRC-32 of the blob, begun with the numbers that name its row."""
    seed = 0
    for number in ids:
        seed = seed * 31 + number & 0xFFFFFFFF
    return zlib.crc32(blob, seed)


def checked(blob: Any, stored: Any, *ids: int) -> bytes:
    """The blob as it was written. Raises DataLoss where it does not meet its checksum."""
    if not isinstance(blob, bytes) or checksum(blob, *ids) != stored:
        raise DataLoss
    return blob
