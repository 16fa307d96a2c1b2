"""The bill: what histories and run counters say must be what the ledger holds, exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

from temporalio.api.enums.v1 import ContinueAsNewInitiator
from temporalio.api.history.v1 import HistoryEvent

from engine.metering.facts import NANOSECONDS_PER_HOUR, Fact
from engine.metering.summary import RunSummary
from engine.persistence.protocols import RunKey
from tests.simulation.checkers.evidence import Evidence, attributes_of, name_of

FACT_OF_EVENT = {
    "activity_task_scheduled": "activity_scheduled",
    "timer_started": "timer_started",
    "upsert_workflow_search_attributes": "search_attributes_upserted",
    "workflow_execution_signaled": "workflow_signaled",
}
FACT_OF_INITIATOR = {
    ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW: "workflow_continued_as_new",
    ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE: "workflow_started",
    ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_RETRY: "",
}


def recount_equals_the_ledger(evidence: Evidence) -> Iterator[str]:
    recount = Counter(_recount(evidence))
    ledger = evidence.record.ledger()
    for fact in sorted(recount.keys() | ledger.keys()):
        if recount[fact] != ledger[fact]:
            yield f"{fact[:5]}: recounted {recount[fact]}, the ledger has {ledger[fact]}"


def _recount(evidence: Evidence) -> Counter[Fact]:
    sums: Counter[Fact] = Counter()
    for key, events in evidence.histories.items():
        summary = evidence.record.summaries[key]
        fact = partial(_fact, key, summary)
        request_id = evidence.record.last_state(key).volatile.start_request_id
        by_signal = _is_started_by_signal(events, request_id)
        for event in events:
            if kind := _fact_of(event, events, by_signal=by_signal):
                sums[fact(kind, event.event_time.ToNanoseconds() // NANOSECONDS_PER_HOUR)] += 1
        for kind, hour, count in summary.counts():
            if kind == "workflow_started":
                continue  # A delayed start: the history has it too.
            sums[fact(kind, hour)] += count
            if kind == "signal_with_start":
                sums[fact("workflow_signaled", hour)] -= count
    return sums


def _fact(key: RunKey, summary: RunSummary, kind: str, hour: int) -> Fact:
    return Fact(key.namespace_id, kind, summary.workflow_type, summary.task_queue, hour, 0)


def _is_started_by_signal(events: list[HistoryEvent], start_request_id: str) -> bool:
    """Whether start and signal came in one call, which is one fact of its own."""
    return (
        len(events) > 1
        and name_of(events[1]) == "workflow_execution_signaled"
        and attributes_of(events[1]).request_id == start_request_id
    )


def _fact_of(event: HistoryEvent, events: list[HistoryEvent], *, by_signal: bool) -> str:
    """What an event is metered as, if at all."""
    name = name_of(event)
    if name == "workflow_execution_started":
        initiator = attributes_of(event).initiator
        if initiator in FACT_OF_INITIATOR:
            return FACT_OF_INITIATOR[initiator]
        return "" if by_signal else "workflow_started"
    if name == "marker_recorded":
        completion = attributes_of(event).workflow_task_completed_event_id
        first = next(
            other
            for other in events
            if name_of(other) == name
            and attributes_of(other).workflow_task_completed_event_id == completion
        )
        return "markers_recorded" if first is event else ""
    return FACT_OF_EVENT.get(name, "")
