"""Everything the engine may ask of the world: time, randomness, ids and tasks.

Nothing else in the engine touches them, so the whole cell also runs under a seeded event loop
with simulated time, network and disk (`tests/simulation`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol


class Env(Protocol):
    """The world as one node sees it."""

    def now_ns(self) -> int:
        """Wall time in nanoseconds since the epoch; never goes back, never jumps."""

    def monotonic(self) -> float:
        """Seconds on the event loop's clock, for deadlines that do not outlive the process."""

    def random(self) -> float:
        """A float in [0, 1)."""

    def token_bytes(self, count: int) -> bytes:
        """`count` random bytes; unpredictable in production, seeded in simulation."""

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the caller; an exception that escapes it is logged as a bug."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call `callback` on the event loop after `seconds`."""

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` on the event loop's clock."""


def run_id(env: Env) -> str:
    """A new UUID version 7: ordered by creation time, so rows of one cell append."""
    tail = int.from_bytes(env.token_bytes(10), "big")
    value = (env.now_ns() // 1_000_000) << 80 | tail
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
