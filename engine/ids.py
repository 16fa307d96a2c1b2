"""Where an execution lives: its shard, derived from the names that never change."""

from __future__ import annotations

import zlib


def shard_of(namespace_id: str, name: str, shard_count: int) -> int:
    """The shard of a workflow id or of a task queue; `shard_count` is a power of two."""
    return zlib.crc32(f"{namespace_id}\0{name}".encode()) & (shard_count - 1)


class IdFilter:
    """Says of a workflow id that it was never seen here, and is never wrong about that.

    A Bloom filter of four bits per id in `FILTER_BITS`: a start of a new id, the common case,
    needs no look into the store.
    """

    FILTER_BITS = 1 << 22

    def __init__(self) -> None:
        self._bits = bytearray(self.FILTER_BITS // 8)

    def add(self, namespace_id: str, workflow_id: str) -> None:
        for bit in self._places(namespace_id, workflow_id):
            self._bits[bit >> 3] |= 1 << (bit & 7)

    def never_seen(self, namespace_id: str, workflow_id: str) -> bool:
        return any(
            not self._bits[bit >> 3] & 1 << (bit & 7)
            for bit in self._places(namespace_id, workflow_id)
        )

    def _places(self, namespace_id: str, workflow_id: str) -> tuple[int, int, int, int]:
        name = f"{namespace_id}\0{workflow_id}".encode()
        first, second = zlib.crc32(name), zlib.adler32(name) * 2654435761 | 1
        mask = self.FILTER_BITS - 1
        return (
            first & mask,
            (first + second) & mask,
            (first + 2 * second) & mask,
            (first + 3 * second) & mask,
        )
