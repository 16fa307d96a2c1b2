"""Cancelling workflows and the activities they wait for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from perdure import activity, workflow
from perdure.exceptions import ActivityError
from perdure.policies import ActivityCancellationType
from tests.sdk.story import Story, attributes_of, kind_of

Stories = Callable[..., Story]
MINUTE = timedelta(minutes=1)


@activity.defn
async def charge(cents: int) -> str:
    return f"charged {cents}"


@workflow.defn
class Stoppable:
    @workflow.run
    async def run(self, how: ActivityCancellationType) -> str:
        try:
            await workflow.execute_activity(
                charge, 1, start_to_close_timeout=MINUTE, cancellation_type=how
            )
        except ActivityError:
            await workflow.sleep(1)
            raise
        return "done"


def test_cancelling_a_workflow_asks_its_activity_to_stop_and_cleans_up(story: Stories) -> None:
    run = story(Stoppable, ActivityCancellationType.TRY_CANCEL.value)
    run.turn()
    run.is_cancelled()
    asked, timer = run.turn()
    assert kind_of(asked) == "REQUEST_CANCEL_ACTIVITY_TASK"
    assert attributes_of(asked) == {"scheduledEventId": "5"}
    run.fires(attributes_of(timer)["timerId"])
    (closing,) = run.turn()
    assert kind_of(closing) == "CANCEL_WORKFLOW_EXECUTION"


def test_a_workflow_may_wait_for_its_activity_to_have_stopped(story: Stories) -> None:
    run = story(Stoppable, ActivityCancellationType.WAIT_CANCELLATION_COMPLETED.value)
    (command,) = run.turn()
    run.is_cancelled()
    assert [kind_of(command) for command in run.turn()] == ["REQUEST_CANCEL_ACTIVITY_TASK"]
    run.fails(attributes_of(command)["activityId"], "CANCELED")
    assert [kind_of(command) for command in run.turn()] == ["START_TIMER"]


def test_an_abandoned_activity_is_left_alone(story: Stories) -> None:
    run = story(Stoppable, ActivityCancellationType.ABANDON.value)
    run.turn()
    run.is_cancelled()
    assert [kind_of(command) for command in run.turn()] == ["START_TIMER"]


def test_an_activity_cancelled_before_it_left_was_never_scheduled(story: Stories) -> None:
    @workflow.defn
    class Hasty:
        @workflow.run
        async def run(self) -> str:
            workflow.start_activity(charge, 1, start_to_close_timeout=MINUTE).cancel()
            return "never mind"

    run = story(Hasty)
    assert run.result(run.turn()) == "never mind"
