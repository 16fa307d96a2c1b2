"""Every number that operators are told, in one table: `docs/metrics.md` is made from it.

No label names a tenant: what may grow without bound with the number of accounts is none of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "perdure_"


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Part(StrEnum):
    """Which processes tell of it. One that is the whole cloud tells of all."""

    EVERY = "every process"
    FRONT = "frontend"
    CELL = "cell"
    CONTROL_PLANE = "control plane"


@dataclass(frozen=True, slots=True)
class Instrument:
    """`name` is that of its readings; operators see it behind `PREFIX`."""

    name: str
    type: Type
    part: Part
    help: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """Of the family of series."""
        return PREFIX + self.name

    @property
    def shown_name(self) -> str:
        """As queries name it; a histogram has it with `_bucket`, `_sum` and `_count` behind."""
        return self.full_name + ("_total" if self.type is Type.COUNTER else "")


_CALLS = (
    Instrument(
        "calls",
        Type.COUNTER,
        Part.FRONT,
        "Requests that were answered, by RPC and HTTP status; pages and routes without an RPC are"
        " `other`, and 0 is the code where the caller left before.",
        ("method", "code"),
    ),
    Instrument(
        "call_duration_seconds",
        Type.HISTOGRAM,
        Part.FRONT,
        "How long requests took. Polls and readings of histories, which may wait on purpose, are"
        " not in it.",
        ("method",),
    ),
    Instrument("calls_open", Type.GAUGE, Part.FRONT, "Calls that are being answered, polls too."),
)

_SNAPSHOT = (
    Instrument(
        "snapshot_age_seconds",
        Type.GAUGE,
        Part.FRONT,
        "How long ago the snapshot of accounts, keys and namespaces was last known complete; a"
        " revocation may be missed for so long.",
    ),
    Instrument(
        "snapshot_age_max_seconds",
        Type.GAUGE,
        Part.FRONT,
        "The most that the age may be: with an older snapshot nothing is served.",
    ),
)

_MATCHING = (
    Instrument("polls_waiting", Type.GAUGE, Part.CELL, "Polls that wait for a task.", ("kind",)),
    Instrument(
        "polls_empty",
        Type.COUNTER,
        Part.CELL,
        "Polls that ended without a task.",
        ("kind",),
    ),
    Instrument(
        "tasks_delivered", Type.COUNTER, Part.CELL, "Tasks that polls were given.", ("kind",)
    ),
    Instrument(
        "tasks_matched_at_once",
        Type.COUNTER,
        Part.CELL,
        "Tasks that found a poll waiting: of those delivered, the sync match rate.",
        ("kind",),
    ),
    Instrument(
        "backlog_tasks",
        Type.GAUGE,
        Part.CELL,
        "Tasks in memory that wait for a poll; of very long backlogs the head alone.",
        ("kind",),
    ),
    Instrument(
        "backlog_age_seconds",
        Type.GAUGE,
        Part.CELL,
        "How long the task that waits longest has waited since this process knows it.",
        ("kind",),
    ),
    Instrument("task_queues", Type.GAUGE, Part.CELL, "Task queues in memory.", ("kind",)),
)

_SHARDS = (
    Instrument("shards_owned", Type.GAUGE, Part.CELL, "Shards whose lease this process holds."),
    Instrument(
        "shards_lost",
        Type.COUNTER,
        Part.CELL,
        "Leases that were lost: `fenced` by another owner, or given up because the `store` failed.",
        ("reason",),
    ),
    Instrument(
        "timer_lag_seconds",
        Type.HISTOGRAM,
        Part.CELL,
        "How long after it was due a timer was looked at.",
    ),
    Instrument("runs_in_memory", Type.GAUGE, Part.CELL, "Runs held in memory."),
    Instrument("runs_in_memory_bytes", Type.GAUGE, Part.CELL, "What these hold of clients' data."),
    Instrument(
        "runs_evicted",
        Type.COUNTER,
        Part.CELL,
        "Runs that left memory for want of room; they are read again when they are needed.",
    ),
)

_STORE = (
    Instrument(
        "commit_duration_seconds",
        Type.HISTOGRAM,
        Part.CELL,
        "How long group commits took; every acknowledgement waits for one.",
    ),
    Instrument("commit_rows", Type.HISTOGRAM, Part.CELL, "Rows written by a group commit."),
    Instrument("commit_bytes", Type.HISTOGRAM, Part.CELL, "Bytes in the rows of a group commit."),
    Instrument(
        "store_errors",
        Type.COUNTER,
        Part.CELL,
        "What the store of runs refused or failed at. `StoreFull` is a full disk.",
        ("error",),
    ),
)

_CONTROL_PLANE = (
    Instrument(
        "usage_collected_age_seconds",
        Type.GAUGE,
        Part.CONTROL_PLANE,
        "How long ago all facts of a cell were last known to be in the ledger.",
        ("cell",),
    ),
    Instrument(
        "audit_records_waiting",
        Type.GAUGE,
        Part.FRONT,
        "Acts under way that are audited, and those that the audit log does not have yet.",
    ),
    Instrument(
        "letters_waiting", Type.GAUGE, Part.CONTROL_PLANE, "Letters that are still to be sent."
    ),
    Instrument(
        "webhooks_waiting",
        Type.GAUGE,
        Part.CONTROL_PLANE,
        "Notices to customers' webhooks that are still to be delivered.",
    ),
    Instrument(
        "database_errors",
        Type.COUNTER,
        Part.CONTROL_PLANE,
        "Units of work that the control plane's database did not do: it was away, or gave up.",
    ),
)

_PROCESS = (
    Instrument(
        "event_loop_lag_seconds",
        Type.HISTOGRAM,
        Part.EVERY,
        "How late the event loop woke a task that sleeps: what all calls of the process wait.",
    ),
)

INSTRUMENTS: Mapping[str, Instrument] = {
    instrument.name: instrument
    for instrument in (
        *_CALLS,
        *_SNAPSHOT,
        *_MATCHING,
        *_SHARDS,
        *_STORE,
        *_CONTROL_PLANE,
        *_PROCESS,
    )
}

OF_THE_SYSTEM: Mapping[str, str] = {
    "process_cpu_seconds_total": "Processor time of the process.",
    "process_resident_memory_bytes": "Its memory.",
    "process_virtual_memory_bytes": "Its address space.",
    "process_start_time_seconds": "When it started, in seconds since 1970.",
    "process_open_fds": "Files and connections that it has open.",
    "process_max_fds": "The most that it may have.",
}
"""What `prometheus_client` tells of a process on Linux, under the names that are usual."""
