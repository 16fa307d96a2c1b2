"""The law of event sourcing: what the history says of a run is what the engine holds of it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict, replace
from temporalio.api.history.v1 import HistoryEvent

from engine.cell.loaded_run import LoadedRun
from engine.history.events import EVENTS
from engine.history.protobuf import parse_events
from engine.history.state import Activity, Attempt, RunState, Volatile, decode
from engine.history.transition import rebuild
from engine.node import Node
from engine.persistence.protocols import RunKey, Store
from engine.visibility.query import VisibilityQuery

EVENT_ID_MAX = 1 << 40
ROWS = (
    "activities",
    "activity_ids",
    "timers",
    "buffered",
    "buffered_bytes",
    "signal_requests",
    "started",
)


async def check_law(store: Store, namespace_id: str) -> int:
    """Compare every run of the namespace with its history; how many there were."""
    rows = await store.list_visibility(VisibilityQuery(namespace_id))
    for row in rows:
        key = RunKey(namespace_id, row.workflow_id, row.run_id)
        (stored,) = await store.load([key])
        assert stored is not None
        held = decode(stored)
        batches = await store.read_history(key, 1, EVENT_ID_MAX, EVENT_ID_MAX)
        events = parse_events(batch.blob for batch in batches)
        assert [event.event_id for event in events] == list(range(1, len(events) + 1))
        told = RunState(key)
        rebuild(told, events)
        next_event_id, last_event_at_ns = told.run.next_event_id, told.run.last_event_at_ns
        for buffered in held.buffered.values():
            event = HistoryEvent.FromString(buffered.partition(b"\0")[2])
            attributes = getattr(event, event.WhichOneof("attributes") or "")
            EVENTS[type(attributes)].apply(told, event, attributes)
        told.run.next_event_id, told.run.last_event_at_ns = next_event_id, last_event_at_ns
        assert asdict(told.run) == asdict(held.run)
        assert _timeless(told) == _timeless(held)
        assert told.timers == held.timers
        assert told.activity_ids == held.activity_ids
        assert told.started == held.started
    return len(rows)


async def in_memory(node: Node, namespace_id: str, workflow_id: str, run_id: str = "") -> LoadedRun:
    """The run as its owner holds it."""
    _, run = await node._services.run(namespace_id, workflow_id, run_id)
    return run


async def check_rows(node: Node, store: Store, namespace_id: str) -> None:
    """Every run in memory is what its rows say, so that another owner would go on alike.

    Only between decisions: what is decided and not yet durable is in memory alone.
    """
    for row in await store.list_visibility(VisibilityQuery(namespace_id)):
        run = await in_memory(node, namespace_id, row.workflow_id, row.run_id)
        (stored,) = await store.load([run.key])
        assert stored is not None
        read, held = decode(stored), run.state
        assert asdict(read.run) == asdict(held.run)
        assert _lasting(read.volatile) == _lasting(held.volatile)
        for name in ROWS:
            assert getattr(read, name) == getattr(held, name), name


def _lasting(volatile: Volatile) -> dict[str, Any]:
    """All but where the task is offered: an owner that finds no sticky worker forgets it unsaid."""
    task = replace(volatile.task, sticky=False)
    return asdict(replace(volatile, task=task, sticky_queue=""))


def _timeless(state: RunState) -> dict[int, Activity]:
    """The pending activities without what the history does not say: their attempts."""
    return {key: replace(activity, attempt=Attempt()) for key, activity in state.activities.items()}
