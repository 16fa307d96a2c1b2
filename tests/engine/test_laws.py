"""The laws of the event-sourced core: events, rows and memory always tell the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.history.v1 import HistoryEvent

from engine.errors import InvalidArgument
from engine.history.commands import COMMANDS
from engine.history.events import EVENTS
from engine.history.protobuf import NANOSECONDS, parse_events
from engine.limits import ID_BYTES_MAX
from engine.persistence.protocols import RunKey
from engine.visibility.query import VisibilityQuery
from tests.engine.cell import (
    NAMESPACE_ID,
    Cell,
    cancel_activity,
    cancel_timer,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    in_cell,
    record_marker,
    schedule_activity,
    start_timer,
    upsert_memo,
    upsert_search_attribute,
)
from tests.engine.law import EVENT_ID_MAX, in_memory
from tests.engine.walk import Walk

WALK_COUNT = 12
STEP_COUNT = 60
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
EVENT_OF_COMMAND = {
    "schedule_activity_task": "activity_task_scheduled",
    "request_cancel_activity_task": "activity_task_cancel_requested",
    "start_timer": "timer_started",
    "cancel_timer": "timer_canceled",
    "record_marker": "marker_recorded",
    "upsert_workflow_search_attributes": "upsert_workflow_search_attributes",
    "modify_workflow_properties": "workflow_properties_modified",
    "complete_workflow_execution": "workflow_execution_completed",
    "fail_workflow_execution": "workflow_execution_failed",
    "cancel_workflow_execution": "workflow_execution_canceled",
    "continue_as_new_workflow_execution": "workflow_execution_continued_as_new",
}
"""What each command leaves in the history."""


async def completes(cell: Cell) -> None:
    await cell.step(
        schedule_activity(),
        start_timer("reminder", HOUR),
        record_marker("version"),
        upsert_memo(note="fragile"),
        upsert_search_attribute("TemporalChangeVersion", "packing-2"),
    )
    await cell.complete_activity(await cell.poll_activity())
    await cell.signal("paid")
    await cell.step(cancel_timer("reminder"), complete_workflow())


async def fails(cell: Cell) -> None:
    await cell.step(schedule_activity())
    await cell.fail_activity(await cell.poll_activity(), non_retryable=True)
    await cell.step(fail_workflow())


async def is_cancelled(cell: Cell) -> None:
    await cell.step(schedule_activity())
    await cell.request_cancel()
    await cell.step(cancel_activity(5))
    await cell.step(cancel_workflow())


async def times_out(cell: Cell) -> None:
    await cell.step(schedule_activity(schedule_to_start=SECOND), start_timer("soon", SECOND))
    await cell.poll()
    await cell.close_event()


async def is_terminated_during_a_task(cell: Cell) -> None:
    await cell.poll()
    await cell.signal("paid")
    await cell.terminate()


async def continues(cell: Cell) -> None:
    task = await cell.poll()
    await cell.signal("paid")
    await cell.complete(task, continue_as_new())


SCENARIOS: tuple[Callable[[Cell], Coroutine[Any, Any, None]], ...] = (
    completes,
    fails,
    is_cancelled,
    times_out,
    is_terminated_during_a_task,
    continues,
)


async def all_events(cell: Cell) -> list[HistoryEvent]:
    """The histories of every run of the namespace."""
    events: list[HistoryEvent] = []
    for row in await cell.store.list_visibility(VisibilityQuery(NAMESPACE_ID)):
        key = RunKey(NAMESPACE_ID, row.workflow_id, row.run_id)
        batches = await cell.store.read_history(key, 1, EVENT_ID_MAX, EVENT_ID_MAX)
        events += parse_events(batch.blob for batch in batches)
    return events


def attributes_of(event: HistoryEvent) -> Any:
    return getattr(event, event.WhichOneof("attributes") or "")


@in_cell
async def test_every_event_and_command_keeps_the_law(cell: Cell) -> None:
    for scenario in SCENARIOS:
        await cell.start(workflow_run_timeout=Duration(seconds=60))
        await scenario(cell)
    events = await all_events(cell)
    assert {type(attributes_of(event)) for event in events} == set(EVENTS)
    carried_out = {
        event.WhichOneof("attributes")
        for event in events
        if getattr(attributes_of(event), "workflow_task_completed_event_id", 0)
    }
    assert {f"{name}_command_attributes" for name in EVENT_OF_COMMAND} == set(COMMANDS)
    assert carried_out == {f"{name}_event_attributes" for name in EVENT_OF_COMMAND.values()}


REJECTED = {
    "an activity without a timeout": schedule_activity(start_to_close=timedelta()),
    "an activity id that is pending": schedule_activity("pending"),
    "a cancel of an activity that is not there": cancel_activity(99),
    "a timer that takes no time": start_timer("now", timedelta()),
    "a timer id that is running": start_timer("running", HOUR),
    "a cancel of a timer that is not there": cancel_timer("nothing"),
    "a marker without a name": record_marker(""),
    "a search attribute that nobody added": upsert_search_attribute("Nobody", "x"),
    "a close before all is seen": complete_workflow(),
    "a next run of a type with too long a name": continue_as_new("x" * (ID_BYTES_MAX + 1)),
}


@pytest.mark.parametrize("rejected", REJECTED.values(), ids=REJECTED)
@in_cell
async def test_a_rejected_completion_undoes_all_of_its_commands(
    cell: Cell, rejected: Command
) -> None:
    await cell.start()
    await cell.step(
        schedule_activity("pending"), start_timer("running", HOUR), start_timer("second", HOUR)
    )
    await cell.signal("wake up")
    task = await cell.poll()
    await cell.signal("unseen")
    state = (await in_memory(cell.node, NAMESPACE_ID, "order-1")).state
    before, facts = state.checkpoint(), await cell.facts()
    with pytest.raises(InvalidArgument):
        await cell.complete(
            task,
            cancel_timer("second"),
            start_timer("other", HOUR),
            schedule_activity("other"),
            cancel_activity(5),
            upsert_memo(note="gone"),
            record_marker("gone"),
            rejected,
        )
    failed = ["WorkflowTaskFailed", "WorkflowExecutionSignaled", "WorkflowTaskScheduled"]
    assert (await cell.events())[before.run.next_event_id - 1 :] == failed
    before.run.next_event_id += len(failed)
    before.run.last_event_at_ns = state.run.last_event_at_ns
    assert state.run == before.run
    assert (state.activities, state.timers) == (before.activities, before.timers)
    assert state.signal_requests == before.signal_requests
    facts["workflow_signaled"] += 1
    assert await cell.facts() == facts


@in_cell
async def test_an_id_may_be_used_again_while_its_end_is_still_unseen(cell: Cell) -> None:
    await cell.start()
    await cell.step(schedule_activity("charge"), start_timer("reminder", SECOND))
    await cell.signal("wake up")
    task = await cell.poll()
    await cell.complete_activity(await cell.poll_activity())
    await asyncio.sleep(2)
    await cell.complete(task, schedule_activity("charge"), start_timer("reminder", HOUR))
    assert (await cell.events()).count("TimerFired") == 1
    await cell.crash_and_restart()
    assert len((await cell.describe()).pending_activities) == 1
    run = await in_memory(cell.node, NAMESPACE_ID, "order-1")
    (pending,), (timer,) = run.state.activities.values(), run.state.timers.values()
    assert run.state.activity_ids == {"charge": pending.scheduled_event_id}
    assert timer.due_at_ns - run.state.run.start_at_ns >= HOUR.total_seconds() * NANOSECONDS


@pytest.mark.parametrize("seed", range(WALK_COUNT))
def test_whatever_happens_events_rows_and_memory_tell_the_same(seed: int) -> None:
    """What happens is drawn from the seed; the law holds after each of its steps."""
    walk = Walk(seed)
    walk.go(STEP_COUNT)
    assert len(walk.done) > STEP_COUNT / 3, walk.done
