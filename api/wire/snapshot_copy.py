"""A copy of the snapshot with each cell, for frontends that start while the control plane is away.

It is what the control plane tells a frontend that knows nothing yet, signed: a cell keeps it and
cannot change it.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from api.cells import Cells
from api.installation import write_whole
from engine.call import Call
from engine.errors import EngineError
from tenancy import SnapshotFollower, SnapshotRejected
from tenancy.snapshot_feed import Place

logger = logging.getLogger(__name__)

KEEP, READ = "snapshot_copy/keep", "snapshot_copy/read"
METHODS = frozenset((KEEP, READ))

SETTLE_SECONDS = 1.0
"""Changes come in bursts, and each copy is the whole."""

LEND_SECONDS = 600.0
"""So often it is lent without a change: its age counts where it is used."""

AGAIN_SECONDS = 5.0
CALL_SECONDS_MAX = 30.0

News = Callable[[Place | None], Awaitable[bytes]]


class SnapshotCopy:
    """The copy in a cell's directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def answer(self, method: str, text: bytes) -> bytes:
        """One of METHODS; what there is, empty if nothing is."""
        if method == KEEP:
            await asyncio.to_thread(write_whole, self._path, text)
            return b""
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""


async def lend(news: News, cells: Cells) -> float:
    """Leave a copy with every cell; how many seconds later that is due without a change."""
    await asyncio.sleep(SETTLE_SECONDS)
    text = await asyncio.to_thread(zlib.compress, await news(None), 1)
    taken = [await _asked(cells, cell_id, KEEP, text) is not None for cell_id in cells]
    return LEND_SECONDS if all(taken) else AGAIN_SECONDS


async def borrow(snapshot: SnapshotFollower, cells: Cells) -> None:
    """Have a frontend that has nothing usable hear what the cells keep."""
    for cell_id in cells:
        if snapshot.is_usable:
            return
        text = await _asked(cells, cell_id, READ, b"")
        if not text:
            continue
        try:
            await snapshot.hear(zlib.decompress(text))
        except (SnapshotRejected, zlib.error) as error:
            logger.warning("snapshot_copy_refused", extra={"cell_id": cell_id, "why": str(error)})
        else:
            logger.info("snapshot_borrowed", extra={"cell_id": cell_id})


async def _asked(cells: Cells, cell_id: str, method: str, text: bytes) -> bytes | None:
    """None where the cell does not answer now."""
    about = Call("", "", "", CALL_SECONDS_MAX)
    try:
        return await cells.of(cell_id)(method, text, about)
    except EngineError as error:
        logger.info("cell_has_no_copy", extra={"cell_id": cell_id, "why": str(error)})
        return None
