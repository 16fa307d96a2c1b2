"""Metering facts: written in the commit of their cause, one row per shard and commit.

Three audited classes. *Histories* tell again what was started, scheduled, signaled. *Run counters*
hold what histories do not say (attempts, local-activity retries, how a signal came); they outlive
retention in the run's summary. *Calls* (queries, heartbeats) are counted durably before the reply,
in run counters too. A recount of the histories that are kept and of all summaries must equal the
ledger exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import msgspec

NANOSECONDS_PER_HOUR = 3_600_000_000_000


class FactKind(StrEnum):
    """The engine's words for what can be billed."""

    WORKFLOW_STARTED = "workflow_started"
    WORKFLOW_CONTINUED_AS_NEW = "workflow_continued_as_new"
    WORKFLOW_SIGNALED = "workflow_signaled"
    SIGNAL_WITH_START = "signal_with_start"
    ACTIVITY_SCHEDULED = "activity_scheduled"
    ACTIVITY_RETRIED = "activity_retried"
    ACTIVITY_HEARTBEAT_RECORDED = "activity_heartbeat_recorded"
    ACTIVITY_HEARTBEAT_RECORDED_BY_ID = "activity_heartbeat_recorded_by_id"
    LOCAL_ACTIVITY_RETRIED = "local_activity_retried"
    TIMER_STARTED = "timer_started"
    MARKERS_RECORDED = "markers_recorded"
    SEARCH_ATTRIBUTES_UPSERTED = "search_attributes_upserted"
    WORKFLOW_TASK_HEARTBEAT = "workflow_task_heartbeat"
    WORKFLOW_QUERIED = "workflow_queried"


COUNTED_PER_RUN = frozenset(
    {
        FactKind.SIGNAL_WITH_START,
        FactKind.ACTIVITY_RETRIED,
        FactKind.ACTIVITY_HEARTBEAT_RECORDED,
        FactKind.ACTIVITY_HEARTBEAT_RECORDED_BY_ID,
        FactKind.LOCAL_ACTIVITY_RETRIED,
        FactKind.WORKFLOW_TASK_HEARTBEAT,
        FactKind.WORKFLOW_QUERIED,
    }
)
"""Kinds that a history does not show; the run's counters and closing summary keep them."""


class Fact(NamedTuple):
    """`quantity` times `kind`, in the hour (hours since the epoch, UTC) of its event time."""

    namespace_id: str
    kind: str
    workflow_type: str
    task_queue: str
    hour: int
    quantity: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Fact])


def fold(facts: Iterable[Fact]) -> bytes:
    """One row's bytes: a MessagePack array of facts, equal ones added up."""
    sums: dict[tuple[str, str, str, str, int], int] = {}
    for fact in facts:
        sums[fact[:5]] = sums.get(fact[:5], 0) + fact.quantity
    return _encoder.encode([Fact(*key, quantity) for key, quantity in sums.items()])


def unfold(blob: bytes) -> list[Fact]:
    """The facts of one row."""
    return _decoder.decode(blob)
