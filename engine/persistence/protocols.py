"""What a store promises, whatever holds the bytes.

One conformance suite (`tests/engine/persistence`) runs on every store; the in-memory one is the
specification. A store never interprets what it keeps, except the columns it is given to search.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

from engine.visibility.query import VisibilityQuery, VisibilityRow


class RunKey(NamedTuple):
    """Names one run. An empty `run_id` in a look-up means the workflow id's current run."""

    namespace_id: str
    workflow_id: str
    run_id: str


class ItemKind(IntEnum):
    """What a row beside the header of a run is about."""

    ACTIVITY = 1
    TIMER = 2
    BUFFERED_EVENT = 3
    SIGNAL_REQUEST = 4
    STARTED = 5


Wakeup = tuple[int, RunKey]
"""When a run is to be looked at. Wake-ups have this order, also where they are of one time."""

FIRST_WAKEUP: Wakeup = (0, RunKey("", "", ""))
"""All are behind it."""


class HistoryBatch(NamedTuple):
    """Events written together: `blob` is a serialized `History` of ids first … last."""

    first_event_id: int
    last_event_id: int
    blob: bytes


@dataclass(slots=True)
class RunWrite:
    """The newest version of everything that changed in one run since the last commit.

    `items` maps (kind, key) to the new row, or to None for a row that goes.
    `active` says that recovery must load the run: it has a task to offer or under way.
    `wakeup_at_ns` replaces `wakeup_was_ns` in the wake-up table where the two differ.
    """

    key: RunKey
    header: bytes
    active: bool
    history: list[HistoryBatch] = field(default_factory=list)
    items: dict[tuple[ItemKind, str], bytes | None] = field(default_factory=dict)
    wakeup_was_ns: int | None = None
    wakeup_at_ns: int | None = None
    becomes_current: bool = False
    visibility: VisibilityRow | None = None
    summary: bytes | None = None
    deleted: bool = False


@dataclass(slots=True)
class ShardWrite:
    """What one shard has ready: fenced by `epoch`, up to and including `sequence`.

    `facts` are the metering facts of this commit, folded into one row (shard, sequence).
    `traces` are those that its commit is a part of, for who collects traces; a store keeps none.
    """

    shard_id: int
    epoch: int
    sequence: int
    runs: list[RunWrite]
    facts: bytes | None = None
    traces: Collection[str] = ()


class StoredRun(NamedTuple):
    """A run as read back: header, rows, and the wake-up the table holds for it."""

    key: RunKey
    header: bytes
    items: Mapping[tuple[ItemKind, str], bytes]
    wakeup_at_ns: int | None


class ShardLease(NamedTuple):
    """Ownership of a shard, as the store records it."""

    shard_id: int
    owner: str
    epoch: int
    sequence: int
    expires_at_ns: int


class FactRow(NamedTuple):
    """One commit's metering facts; `position` orders the rows of a store for readers."""

    position: int
    shard_id: int
    sequence: int
    blob: bytes


class NamespaceRow(NamedTuple):
    """A namespace of this cell: `blob` is its engine settings."""

    namespace_id: str
    name: str
    blob: bytes


class Store(Protocol):
    """Rows of the shards of one cell, written by one group commit at a time."""

    async def open(self, shard_count: int) -> None:
        """Create or check the tables. Raises StoreMismatch for another shard count."""

    async def close(self) -> None:
        """Release the store; safe to call twice and without `open`."""

    async def commit(self, writes: Sequence[ShardWrite]) -> frozenset[int]:
        """Write all of `writes` in one durable transaction; returns the fenced shards.

        A shard whose stored epoch is not the given one is fenced: nothing of it is written, the
        others are. Each shard comes at most once. On StoreRejected nothing was written. On
        StoreUnavailable it is not known whether it was.
        """

    async def acquire(
        self, shard_ids: Sequence[int], owner: str, now_ns: int, expires_at_ns: int
    ) -> list[ShardLease]:
        """Take, under a new epoch, those of `shard_ids` that nobody holds.

        So are those that `owner` held, and those whose lease ends at `now_ns` or earlier.
        """

    async def renew(self, epochs: Mapping[int, int], expires_at_ns: int) -> frozenset[int]:
        """Extend the leases whose epoch still stands; returns the shards that do."""

    async def leases(self) -> list[ShardLease]:
        """Every shard's lease, held or not (owner "", epoch 0 when never held)."""

    async def load(self, keys: Sequence[RunKey]) -> list[StoredRun | None]:
        """The runs named, in order; None for those that do not exist."""

    async def read_history(
        self, key: RunKey, first_event_id: int, last_event_id: int, bytes_max: int
    ) -> list[HistoryBatch]:
        """Whole batches that overlap the id range, ascending, the first one always, then as
        many as fit in `bytes_max`. Raises DataLoss where the stored bytes are damaged."""

    async def active_runs(self, shard_id: int) -> list[RunKey]:
        """The runs of the shard last written with `active`."""

    async def wakeups(
        self, shard_id: int, after: Wakeup, until_ns: int, limit: int
    ) -> list[Wakeup]:
        """Wake-ups of the shard behind `after`, due at or before `until_ns`, ascending."""

    async def workflow_ids(self, shard_id: int) -> list[tuple[str, str]]:
        """Every (namespace id, workflow id) the shard holds, for its id filter."""

    async def list_visibility(self, query: VisibilityQuery) -> list[VisibilityRow]:
        """Rows that match, in the query's order, at most `query.page_size` after its cursor."""

    async def count_visibility(self, query: VisibilityQuery) -> list[tuple[str, int]]:
        """Counts by value of `query.group_by`; one row ("", n) without it."""

    async def read_facts(self, after_position: int, limit: int) -> list[FactRow]:
        """Fact rows behind `after_position`, ascending."""

    async def delete_facts(self, up_to_position: int) -> None:
        """Forget fact rows that every reader has, a bounded number at a time."""

    async def read_summaries(
        self, namespace_id: str, after_run_id: str, limit: int
    ) -> list[tuple[RunKey, bytes]]:
        """Closing summaries of a namespace behind a run id, ascending by run id."""

    async def put_namespace(self, row: NamespaceRow) -> None:
        """Insert or replace the namespace of that id."""

    async def namespaces(self) -> list[NamespaceRow]:
        """All namespaces of the cell."""
