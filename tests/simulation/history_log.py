"""What a simulation leaves behind for its checkers: client calls, commits, histories, counts.

One counter orders everything that happens: `order` of a call's begin and end and of a commit
say which was first, also at one virtual time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from google.protobuf.message import Message
from temporalio.api.history.v1 import History, HistoryEvent

from engine.history.state import RunState, decode
from engine.metering.facts import Fact
from engine.metering.summary import RunSummary
from engine.persistence.protocols import RunKey, RunWrite, StoredRun

UNKNOWN_ERRORS = frozenset({"Unavailable", "DeadlineExceeded", "Internal", "DataLoss", "Lost"})
"""Outcomes after which a call may or may not have had its effect, or have it later."""


class Task(NamedTuple):
    """What a worker was given: an attempt of an activity, or of a workflow task."""

    key: RunKey
    name: str
    """The activity's id, or the id of the workflow task's started event."""
    attempt: int


class Handed(NamedTuple):
    """A task as it reached a worker."""

    order: int
    kind: Literal["workflow", "activity"]
    task: Task


class Read(NamedTuple):
    """Events of a run as somebody outside saw them: (event id, checksum of its bytes)."""

    order: int
    key: RunKey
    events: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Operation:
    """One attempt of one call. Attempts of one intention share `identity`.

    `outcome` is "ok", "refused" (definitely without effect) or "unknown".
    """

    method: str
    namespace: str
    identity: str
    request: Message
    invoked: int
    invoked_at: float
    outcome: str = "unknown"
    error: str = ""
    response: Message | None = None
    returned: int | None = None
    returned_at: float = 0.0
    task: Task | None = None
    run_id: str = ""
    """The run that a refusal speaks of, if it names one."""
    may_start: bool = True
    """Whether the call was allowed to begin a run."""


@dataclass(slots=True)
class Commit:
    """One shard's part of one group commit, as the store met it."""

    order: int
    at: float
    host: str
    shard_id: int
    epoch: int
    sequence: int
    fenced: bool
    runs: Sequence[RunWrite]
    facts: bytes | None


class LeaseTaken(NamedTuple):
    """A node became owner of a shard under a new epoch."""

    order: int
    shard_id: int
    epoch: int
    owner: str
    stood_seconds: float
    """How long another owner had not renewed its lease; endless where there was no other."""


class WrittenEvent(NamedTuple):
    """An event as a commit wrote it."""

    order: int
    commit: Commit
    event: HistoryEvent


class Deletion(NamedTuple):
    """A run's rows went: the order of the commit, and what the run was then."""

    order: int
    state: RunState


class Finding(NamedTuple):
    """Something that must not be: the invariant's name and what was seen."""

    invariant: str
    text: str


@dataclass(slots=True)
class Record:
    """The whole run of a seed."""

    operations: list[Operation] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    handed: list[Handed] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """What was seen to be wrong while the seed ran."""
    commits: list[Commit] = field(default_factory=list)
    leases: list[LeaseTaken] = field(default_factory=list)
    histories: dict[RunKey, list[HistoryEvent]] = field(default_factory=dict)
    states: dict[RunKey, RunState] = field(default_factory=dict)
    summaries: dict[RunKey, RunSummary] = field(default_factory=dict)
    listed: list[tuple[RunKey, int]] = field(default_factory=list)
    """What the lists said at the end: run and status."""
    facts: list[Fact] = field(default_factory=list)
    namespaces: dict[str, str] = field(default_factory=dict)
    """Namespace id by name."""
    namespaces_deleted: dict[str, int] = field(default_factory=dict)
    """When the deletion of a namespace was first asked for, by its id."""
    sometimes: Counter[str] = field(default_factory=Counter)
    healed_at: float | None = None
    """Since when nothing went wrong; None where the seed did not get so far."""
    skew_seconds_max: float = 0.0
    """How wrong the clock of a node may be when it starts and nothing is wrong with it."""
    clock_off_seconds_max: float = 0.0
    """How wrong the clock of a machine was on which a node started, at most."""
    _last_order: int = 0
    _written: dict[RunKey, list[WrittenEvent]] | None = None
    _deletions: dict[RunKey, Deletion] | None = None

    def tick(self) -> int:
        self._last_order += 1
        return self._last_order

    def written(self) -> dict[RunKey, list[WrittenEvent]]:
        """The events of each run in the order in which commits wrote them."""
        if self._written is None:
            self._written = {}
            for commit in self.commits:
                if not commit.fenced:
                    self._read_commit(commit, self._written)
        return self._written

    def deletions(self) -> dict[RunKey, Deletion]:
        """The runs that commits deleted, each with the first that did."""
        if self._deletions is None:
            self._deletions = {}
            for commit in self.commits:
                for write in () if commit.fenced else commit.runs:
                    if write.deleted and write.key not in self._deletions:
                        state = decode(StoredRun(write.key, write.header, {}, None))
                        self._deletions[write.key] = Deletion(commit.order, state)
        return self._deletions

    def last_state(self, key: RunKey) -> RunState:
        """What the store holds of a run, or held when it was deleted."""
        return self.states.get(key) or self.deletions()[key].state

    def _read_commit(self, commit: Commit, runs: dict[RunKey, list[WrittenEvent]]) -> None:
        for write in commit.runs:
            events = runs.setdefault(write.key, [])
            for batch in write.history:
                for event in History.FromString(batch.blob).events:
                    events.append(WrittenEvent(commit.order, commit, event))

    def calls(self, *methods: str) -> list[Operation]:
        return [operation for operation in self.operations if operation.method in methods]

    def ledger(self) -> Counter[Fact]:
        """Metering facts as the store holds them: the sum by fact with quantity 0."""
        sums: Counter[Fact] = Counter()
        for fact in self.facts:
            sums[fact._replace(quantity=0)] += fact.quantity
        return sums
