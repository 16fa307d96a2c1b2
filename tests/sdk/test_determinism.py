"""Changed code against old histories: what is noticed, and how patches prevent it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from perdure import activity, workflow
from perdure.exceptions import DefinitionError, NondeterminismError
from perdure.execution import WorkflowHistory
from perdure.worker import Replayer
from perdure.worker.registry import workflows_by_name
from tests.sdk.story import Story, attributes_of, kind_of

Stories = Callable[..., Story]
MINUTE = timedelta(minutes=1)


@activity.defn
async def step(name: str) -> str:
    return name


@activity.defn
async def another(name: str) -> str:
    return name


def do(function: Any, name: str) -> Any:
    return workflow.execute_activity(function, name, start_to_close_timeout=MINUTE)


@workflow.defn(name="Flow")
class Original:
    @workflow.run
    async def run(self) -> str:
        await do(step, "a")
        await workflow.sleep(10)
        return "done"


@workflow.defn(name="Flow")
class OtherActivity:
    @workflow.run
    async def run(self) -> str:
        await do(another, "a")
        await workflow.sleep(10)
        return "done"


@workflow.defn(name="Flow")
class Reordered:
    @workflow.run
    async def run(self) -> str:
        await workflow.sleep(10)
        await do(step, "a")
        return "done"


@workflow.defn(name="Flow")
class Shortened:
    @workflow.run
    async def run(self) -> str:
        return "done"


@workflow.defn(name="Flow")
class Lengthened:
    @workflow.run
    async def run(self) -> str:
        await do(step, "a")
        await workflow.sleep(10)
        await do(step, "b")
        return "done"


@workflow.defn(name="Flow")
class Patched:
    @workflow.run
    async def run(self) -> str:
        if workflow.patched("use another"):
            await do(another, "a")
        else:
            await do(step, "a")
        await workflow.sleep(10)
        return "done"


@workflow.defn(name="Flow")
class Deprecated:
    @workflow.run
    async def run(self) -> str:
        workflow.deprecate_patch("use another")
        await do(another, "a")
        await workflow.sleep(10)
        return "done"


@workflow.defn(name="Flow")
class Forgotten:
    @workflow.run
    async def run(self) -> str:
        await do(another, "a")
        await workflow.sleep(10)
        return "done"


def played(story: Stories, cls: type) -> Story:
    run = story(cls)
    ids = [
        attributes_of(command)["activityId"]
        for command in run.turn()
        if kind_of(command) == "SCHEDULE_ACTIVITY_TASK"
    ]
    run.completes(ids[0])
    run.turn()
    run.fires("1")
    assert run.result(run.turn()) == "done"
    return run


async def replay(run: Story, cls: type) -> None:
    await Replayer(workflows=[cls]).replay_workflow(WorkflowHistory("story", run.events))


@pytest.mark.parametrize(
    ("cls", "told"),
    [
        (
            OtherActivity,
            "event 5 is ACTIVITY_TASK_SCHEDULED.*gives SCHEDULE_ACTIVITY_TASK.*another",
        ),
        (Reordered, r"event 5 is ACTIVITY_TASK_SCHEDULED\(step\).*gives START_TIMER"),
        (Shortened, "event 5 is ACTIVITY_TASK_SCHEDULED.*gives COMPLETE_WORKFLOW_EXECUTION"),
        (Lengthened, "COMPLETED.*gives SCHEDULE_ACTIVITY_TASK"),
    ],
)
async def test_code_that_does_not_fit_a_history_is_told_where(
    story: Stories, cls: type, told: str
) -> None:
    run = played(story, Original)
    with pytest.raises(NondeterminismError, match=told):
        await replay(run, cls)


async def test_unchanged_code_fits_its_history(story: Stories) -> None:
    run = played(story, Original)
    await replay(run, Original)
    document = WorkflowHistory("story", run.events).to_json()
    again = WorkflowHistory.from_json("story", document)
    assert again.run_id == "run-1"
    await Replayer(workflows=[Original]).replay_workflow(again)


async def test_a_patch_lets_old_runs_take_the_old_path_and_new_ones_the_new(
    story: Stories,
) -> None:
    await replay(played(story, Original), Patched)
    new = played(story, Patched)
    names = [
        event["activityTaskScheduledEventAttributes"]["activityType"]["name"]
        for event in new.events
        if "activityTaskScheduledEventAttributes" in event
    ]
    assert names == ["another"]
    with pytest.raises(NondeterminismError):
        await replay(new, Original)


async def test_a_patch_can_be_deprecated_and_then_forgotten(story: Stories) -> None:
    patched = played(story, Patched)
    await replay(patched, Deprecated)
    deprecated = played(story, Deprecated)
    await replay(deprecated, Forgotten)
    with pytest.raises(NondeterminismError, match="MARKER_RECORDED"):
        await replay(patched, Forgotten)


def test_a_history_that_ends_before_its_task_is_refused(story: Stories) -> None:
    run = story(Original)
    started = run.task_starts()
    with pytest.raises(NondeterminismError, match="history ends with event 2"):
        run.live.feed(run.events[:2], started)


def test_a_gap_in_a_history_is_refused(story: Stories) -> None:
    run = story(Original)
    started = run.task_starts()
    with pytest.raises(NondeterminismError, match="history jumps from event 1 to 3"):
        run.live.feed([run.events[0], run.events[2]], started)


@workflow.defn
class Clock:
    @workflow.run
    async def run(self) -> str:
        return datetime.now().isoformat()  # noqa: DTZ005


def test_a_clock_that_cannot_be_guarded_is_found_when_the_worker_is_made() -> None:
    with pytest.raises(DefinitionError, match=r"uses datetime\.now.*use workflow\.now\(\)"):
        workflows_by_name([Clock])


def test_a_workflow_class_needs_exactly_one_async_run_method() -> None:
    with pytest.raises(DefinitionError, match=r"needs one @workflow\.run method, has 0"):

        @workflow.defn
        class Empty:
            pass

    with pytest.raises(DefinitionError, match="must be async def"):

        @workflow.defn
        class Plain:
            @workflow.run
            def run(self) -> None:
                pass


def test_two_definitions_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match="two definitions named 'Flow'"):
        workflows_by_name([Original, Patched])
