"""A run in its owner's memory: its state, the tail of its history, and who waits for it."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes

from engine.cell.queries import QueryRegistry
from engine.history.state import RunState, encode_header, encode_item
from engine.history.transition import AttemptEnd, Transition
from engine.history.visibility import visibility_row
from engine.limits import CACHED_HISTORY_BYTES_MAX
from engine.matching.task import TaskRef
from engine.metering.facts import Fact
from engine.metering.summary import encode_summary
from engine.persistence.protocols import HistoryBatch, RunKey, RunWrite, StoredRun


class Watcher(NamedTuple):
    """Who waits for something new of a run to be durable; `until_closed`: for its end alone."""

    woken: asyncio.Future[None]
    until_closed: bool

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class LoadedRun:
    """Everything the owner keeps of one run.

    `sequence` is the shard's sequence of its last decision; what lies between two commits
    (`_batches`, `facts`, `attempt_ends`, the changed rows) is taken by `take`.
    """

    __slots__ = (
        "_batches",
        "_header_bytes",
        "_summary_closed",
        "_summed_up",
        "_visible",
        "attempt_ends",
        "created",
        "deleted",
        "facts",
        "key",
        "parked",
        "queries",
        "scheduled",
        "sequence",
        "state",
        "tail",
        "tail_bytes",
        "wakeup_at_ns",
        "wakeup_stored_ns",
        "watchers",
    )

    def __init__(self, state: RunState, sequence: int, *, created: bool) -> None:
        self.key: RunKey = state.key
        self.state = state
        self.sequence = sequence
        self.created = created
        self.deleted = False
        self.parked: Exception | None = None
        """Why the run cannot be written, once it cannot."""
        self.scheduled: dict[int, ActivityTaskScheduledEventAttributes] = {}
        """Scheduled events of activities that wait for their first worker, at hand."""
        self.tail: list[HistoryBatch] = []
        self.tail_bytes = 0
        self.facts: list[Fact] = []
        self.attempt_ends: list[AttemptEnd] = []
        self.queries = QueryRegistry()
        self.watchers: list[Watcher] = []
        self.wakeup_stored_ns: int | None = None
        self.wakeup_at_ns: int | None = None
        self._batches: list[HistoryBatch] = []
        self._header_bytes = 0
        self._visible: tuple[object, ...] = ()
        self._summed_up = state.volatile.counters
        self._summary_closed = False

    def absorb(self, t: Transition) -> None:
        """Take over what a transition wrote; its state changes are in `state` already."""
        self.facts += t.facts
        self.attempt_ends += t.attempt_ends
        self.state.volatile.transition_count += 1
        if t.batch:
            last_event_id = self.state.run.next_event_id - 1
            first_event_id = last_event_id - len(t.batch) + 1
            batch = HistoryBatch(first_event_id, last_event_id, b"".join(t.batch))
            self._batches.append(batch)
            self.tail.append(batch)
            self.tail_bytes += len(batch.blob)

    def take(self) -> RunWrite:
        """The newest version of all that changed since the last `take`."""
        state = self.state
        write = RunWrite(key=self.key, header=encode_header(state), active=state.is_active)
        self._header_bytes = len(write.header)
        if self._batches:
            first, last = self._batches[0].first_event_id, self._batches[-1].last_event_id
            blob = b"".join(batch.blob for batch in self._batches)
            write.history = [HistoryBatch(first, last, blob)]
            self._batches = []
        write.items = {item: encode_item(state, *item) for item in state.changed}
        state.changed = set()
        write.wakeup_was_ns = self.wakeup_stored_ns
        write.wakeup_at_ns = self.wakeup_stored_ns = self._wakeup_to_store()
        write.becomes_current = self.created
        write.deleted = self.deleted
        visible = (state.run.status, state.run.search_attributes, state.run.memo)
        if visible != self._visible:
            write.visibility = visibility_row(state)
            self._visible = visible
        if not state.is_open:
            self.scheduled.clear()
        closed = not state.is_open and not self._summary_closed
        if closed or state.volatile.counters is not self._summed_up:
            write.summary = encode_summary(state)
            self._summary_closed = not state.is_open
            self._summed_up = state.volatile.counters
        self.created = False
        return write

    def loaded(self, stored: StoredRun) -> None:
        """The run was read back: nothing of it is unwritten."""
        run = self.state.run
        self._visible = (run.status, run.search_attributes, run.memo)
        self._summed_up = self.state.volatile.counters
        self._summary_closed = not self.state.is_open
        self.wakeup_stored_ns = stored.wakeup_at_ns
        self._header_bytes = len(stored.header)

    @property
    def held_bytes(self) -> int:
        """What it holds of clients' data: events, how it began, header, what is buffered."""
        state = self.state
        return self.tail_bytes + len(state.started) + self._header_bytes + state.buffered_bytes

    def has_waiting(self, task: TaskRef) -> bool:
        """Whether the task still looks for a worker."""
        if task.kind == "workflow":
            current = self.state.task
            named = (current.scheduled_event_id, current.attempt)
            return named == (task.scheduled_event_id, task.attempt) and not current.started_event_id
        if task.kind == "activity":
            pending = self.state.activities.get(task.scheduled_event_id)
            return (
                pending is not None
                and pending.attempt.number == task.attempt
                and not pending.attempt.started_at_ns
            )
        return task.query_id in self.queries.pending

    def cached_from(self) -> int:
        """The first event id of the tail; one past the last event when there is none."""
        return self.tail[0].first_event_id if self.tail else self.state.run.next_event_id

    def trim(self) -> None:
        """Forget durable history beyond the cache's bound, oldest first."""
        while self.tail_bytes > CACHED_HISTORY_BYTES_MAX and len(self.tail) > len(self._batches):
            self.tail_bytes -= len(self.tail.pop(0).blob)

    def notify(self) -> None:
        """Wake those who wait for what is durable now."""
        if not self.watchers:
            return
        goes_on = self.state.is_open and not self.deleted
        watchers = self.watchers
        self.watchers = [w for w in watchers if goes_on and w.until_closed]
        for watcher in watchers:
            if not (goes_on and watcher.until_closed):
                watcher.wake()

    def park(self, error: Exception) -> None:
        """The run leaves memory because it cannot be written."""
        self.parked = error
        self.fail(error)

    def fail(self, error: Exception) -> None:
        """The run leaves memory with its waiters unanswered: they learn why."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            if not watcher.woken.done():
                watcher.woken.set_exception(error)
        self.queries.fail(error)

    def _wakeup_to_store(self) -> int | None:
        """The row that must stand so that a new owner looks in time.

        A run with an outstanding task is loaded by every new owner, which then derives its
        deadlines; only a run that nobody loads needs a row. A row may be early, never late.
        """
        due_ns = self.state.next_deadline_ns()
        if self.deleted or due_ns is None:
            return None
        if self.state.is_active:
            return self.wakeup_stored_ns
        if self.wakeup_stored_ns is not None and self.wakeup_stored_ns <= due_ns:
            return self.wakeup_stored_ns
        return due_ns
