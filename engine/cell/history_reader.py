"""Reading histories: from the tail in memory where it reaches, else from the store."""

from __future__ import annotations

from collections.abc import Iterable

from engine.cell.loaded_run import LoadedRun
from engine.errors import DataLoss, NotFound, StoreError, Unavailable
from engine.persistence.protocols import HistoryBatch, Store


class HistoryReader:
    """Serialized `History` pieces: concatenated they are the body of a `history` field."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def cached(self, run: LoadedRun, first_event_id: int, last_event_id: int) -> bytes | None:
        """The events first … last of the run, or None where memory does not hold them all."""
        if first_event_id < run.cached_from() and first_event_id <= last_event_id:
            return None
        return join(run.tail, first_event_id, last_event_id)

    async def page(
        self, run: LoadedRun, first_event_id: int, last_event_id: int, bytes_max: int
    ) -> tuple[bytes, int]:
        """As many events from first to last as fit, at least one batch, and the last one's id.

        Raises NotFound where the run was deleted meanwhile, Unavailable, and DataLoss.
        """
        held = self.cached(run, first_event_id, last_event_id)
        if held is not None and len(held) <= bytes_max:
            return held, last_event_id
        try:
            batches = await self._store.read_history(
                run.key, first_event_id, last_event_id, bytes_max
            )
        except StoreError as error:
            raise Unavailable("the store cannot be read now") from error
        if not batches:
            if run.deleted:
                raise NotFound(
                    f"workflow not found for ID: {run.key.workflow_id}", run_id=run.key.run_id
                )
            raise DataLoss
        reached = min(batches[-1].last_event_id, last_event_id)
        return join(batches, first_event_id, reached), reached


def join(batches: Iterable[HistoryBatch], first_event_id: int, last_event_id: int) -> bytes:
    """The events first … last of `batches`."""
    return b"".join(
        _cut(batch, first_event_id, last_event_id)
        for batch in batches
        if batch.first_event_id <= last_event_id and batch.last_event_id >= first_event_id
    )


def _cut(batch: HistoryBatch, first_event_id: int, last_event_id: int) -> bytes:
    """The part of a batch that lies within first … last."""
    if batch.first_event_id >= first_event_id and batch.last_event_id <= last_event_id:
        return batch.blob
    begin = _offset(batch.blob, max(0, first_event_id - batch.first_event_id))
    end = _offset(batch.blob, min(batch.last_event_id, last_event_id) - batch.first_event_id + 1)
    return batch.blob[begin:end]


def _offset(blob: bytes, count: int) -> int:
    """Where the event behind the first `count` ones begins: tag, length, content each."""
    at = 0
    for _ in range(count):
        at += 1
        length = shift = 0
        while True:
            byte = blob[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        at += length
    return at
