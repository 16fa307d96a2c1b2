"""What a copy of a store consists of, as one store gives it and another takes it."""

from __future__ import annotations

from typing import NamedTuple

from engine.persistence.protocols import RunKey, RunWrite

CELL_TABLES = "shard namespace run current_run history item visibility summary fact".split()
"""Of every store in SQL; a copy has each row of them."""


class RunRow(NamedTuple):
    """A run with all that hangs on it, as one write would make it."""

    number: int
    shard_id: int
    write: RunWrite
    size_bytes: int


class SummaryRow(NamedTuple):
    """What a run that may be gone has left for the recount."""

    key: RunKey
    blob: bytes
