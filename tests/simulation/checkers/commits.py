"""What the log of commits must show: who wrote, and what waited to be written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from temporalio.api.history.v1 import HistoryEvent

from engine.limits import SHARD_LEASE_SECONDS
from engine.persistence.protocols import ItemKind, RunKey
from tests.simulation.checkers.evidence import (
    Evidence,
    attributes_of,
    buffered_event,
    name_of,
)
from tests.simulation.checkers.histories import ACTIVITY_ENDS, CLOSES


def epochs_never_decrease(evidence: Evidence) -> Iterator[str]:
    """No owner writes after a later one; each commit of a shard has a new sequence."""
    newest: dict[int, tuple[int, int]] = {}
    for commit in evidence.record.commits:
        if commit.fenced:
            continue
        mine = (commit.epoch, commit.sequence)
        epoch, sequence = newest.get(commit.shard_id, (0, 0))
        if commit.epoch < epoch:
            yield f"shard {commit.shard_id}: {commit.host} wrote {mine} after epoch {epoch}"
        elif commit.sequence <= sequence:
            yield f"shard {commit.shard_id}: {commit.host} wrote {mine} after {sequence}"
        newest[commit.shard_id] = max(mine, (epoch, sequence))
    taken: dict[int, int] = {}
    for lease in evidence.record.leases:
        if lease.epoch <= taken.get(lease.shard_id, 0):
            yield f"shard {lease.shard_id}: epoch {lease.epoch} was taken twice"
        taken[lease.shard_id] = lease.epoch


def shards_are_taken_from_the_silent(evidence: Evidence) -> Iterator[str]:
    """Nobody takes a shard whose owner may still answer from memory, whatever clocks say."""
    for lease in evidence.record.leases:
        if lease.stood_seconds < SHARD_LEASE_SECONDS:
            stood = f"{lease.stood_seconds:.3f} s after its owner renewed it"
            yield f"shard {lease.shard_id} was taken by {lease.owner} {stood}"


def runs_of_an_id_follow_each_other(evidence: Evidence) -> Iterator[str]:
    """A run begins no earlier than the commit that closes the one before it."""
    for workflow, keys in evidence.runs.items():
        for before, after in pairwise(keys):
            closed = _closed_at(evidence, before)
            began = evidence.durable_at.get((after, 1), 0)
            if closed is None:
                yield f"{workflow}: {after.run_id} began while {before.run_id} was open"
            elif began < closed:
                yield f"{workflow}: {after.run_id} began before {before.run_id} was closed"


def _closed_at(evidence: Evidence, key: RunKey) -> int | None:
    events = evidence.histories.get(key, [])
    if not events or name_of(events[-1]) not in CLOSES:
        deletion = evidence.record.deletions().get(key)
        return deletion and deletion.order
    return evidence.durable_at.get((key, events[-1].event_id))


def buffered_events_are_flushed_in_order(evidence: Evidence) -> Iterator[str]:
    """What waited in a run's buffer is in its history, in the order in which it came.

    Results of activities come last. A timer that the workflow cancelled unseen never fires, and
    signals may move on to the run that continues this one. A run that goes with its namespace
    takes its buffer along.
    """
    buffers: dict[RunKey, dict[str, HistoryEvent]] = {}
    for commit in evidence.record.commits:
        if commit.fenced:
            continue
        for write in commit.runs:
            for (kind, number), row in write.items.items():
                if kind is ItemKind.BUFFERED_EVENT and row is not None:
                    buffers.setdefault(write.key, {})[number] = buffered_event(row)
    for key, buffer in buffers.items():
        places = {_content(event): event.event_id for event in evidence.histories.get(key, [])}
        last = 0
        events = evidence.histories.get(key, [])
        if key in evidence.record.deletions() and name_of(events[-1]) not in CLOSES:
            continue
        for number in sorted(buffer):
            event = buffer[number]
            place = places.get(_content(event))
            if place is None:
                if not _went_elsewhere(evidence, key, event):
                    yield f"{key}: buffered {name_of(event)} {number} is not in history"
            elif name_of(event) not in ACTIVITY_ENDS:
                if place < last:
                    yield f"{key}: buffered {name_of(event)} {number} was overtaken"
                last = place


def _content(event: HistoryEvent) -> tuple[str, bytes]:
    """What does not change when the event gets its id."""
    attributes = type(attributes_of(event))()
    attributes.CopyFrom(attributes_of(event))
    if name_of(event) in ACTIVITY_ENDS:
        attributes.started_event_id = 0
    return name_of(event), attributes.SerializeToString(deterministic=True)


def _went_elsewhere(evidence: Evidence, key: RunKey, event: HistoryEvent) -> bool:
    attributes = attributes_of(event)
    if name_of(event) == "timer_fired":
        return any(
            name_of(other) == "timer_canceled"
            and attributes_of(other).started_event_id == attributes.started_event_id
            for other in evidence.histories.get(key, [])
        )
    if name_of(event) == "workflow_execution_signaled":
        content = _content(event)
        later = [run for run in evidence.runs[key[:2]] if run != key]
        return any(_content(other) == content for run in later for other in evidence.histories[run])
    return False
