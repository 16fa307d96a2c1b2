"""What workflow code may do, live and at every replay."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from perdure import activity, workflow
from perdure.exceptions import ApplicationError, RestrictedAccessError
from perdure.policies import RetryPolicy
from tests.sdk.story import BEGIN, Story, attributes_of, kind_of

Stories = Callable[..., Story]
MINUTE = timedelta(minutes=1)


@activity.defn
async def charge(cents: int) -> str:
    return f"charged {cents}"


@workflow.defn
class Order:
    @workflow.run
    async def run(self, cents: int) -> str:
        return str(
            await workflow.execute_activity(
                charge,
                cents,
                start_to_close_timeout=MINUTE,
                heartbeat_timeout=timedelta(seconds=1.5),
                retry_policy=RetryPolicy(maximum_attempts=3, non_retryable_error_types=["Bad"]),
            )
        )


def test_an_activity_is_scheduled_with_its_options_and_its_result_completes_the_workflow(
    story: Stories,
) -> None:
    run = story(Order, 250)
    (command,) = run.turn()
    fields = attributes_of(command)
    assert fields["activityType"] == {"name": "charge"}
    assert fields["startToCloseTimeout"] == "60s"
    assert fields["heartbeatTimeout"] == "1.500000s"
    assert fields["retryPolicy"]["maximumAttempts"] == 3
    assert fields["retryPolicy"]["nonRetryableErrorTypes"] == ["Bad"]
    run.completes(fields["activityId"], "charged 250")
    assert run.result(run.turn()) == "charged 250"


def test_a_failed_activity_fails_the_workflow_with_its_chain_of_causes(story: Stories) -> None:
    run = story(Order, 1)
    (command,) = run.turn()
    failure = {"message": "declined", "applicationFailureInfo": {"type": "Declined"}}
    state = "RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED"
    run.fails(attributes_of(command)["activityId"], failure=failure, retryState=state)
    (closing,) = run.turn()
    assert kind_of(closing) == "FAIL_WORKFLOW_EXECUTION"
    outer = attributes_of(closing)["failure"]
    assert outer["activityFailureInfo"]["retryState"] == state
    assert outer["cause"]["applicationFailureInfo"]["type"] == "Declined"


@workflow.defn
class Patient:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.done)
        return self.names

    @workflow.signal
    def add(self, name: str) -> None:
        self.names.append(name)

    @workflow.signal
    async def finish(self) -> None:
        await workflow.sleep(timedelta(days=30))
        self.done = True

    @workflow.query
    def count(self) -> int:
        return len(self.names)


def test_signals_reach_their_handlers_in_order_and_wake_a_condition(story: Stories) -> None:
    run = story(Patient)
    assert run.turn() == []
    run.signals("add", "Ada")
    run.signals("finish")
    run.signals("add", "Bo")
    (timer,) = run.turn()
    assert attributes_of(timer) == {"timerId": "1", "startToFireTimeout": "2592000s"}
    run.fires("1")
    assert run.result(run.turn()) == ["Ada", "Bo"]


def test_a_signal_without_a_handler_waits_until_one_is_set(story: Stories) -> None:
    @workflow.defn
    class Late:
        @workflow.run
        async def run(self) -> list[int]:
            await workflow.sleep(1)
            taken: list[int] = []
            workflow.set_signal_handler("late", taken.append)
            return taken

    run = story(Late)
    run.signals("late", 1)
    run.turn()
    run.signals("late", 2)
    run.fires("1")
    assert run.result(run.turn()) == [1, 2]


def test_a_query_sees_the_state_and_changes_nothing(story: Stories) -> None:
    run = story(Patient)
    run.signals("add", "Ada")
    run.turn()
    answer = run.live.query("count", None)
    assert run.converter.payload_converter.from_payloads(answer) == [1]
    with pytest.raises(Exception, match="no query handler 'size'; known queries: count"):
        run.live.query("size", None)


def test_a_condition_with_a_timeout_raises_when_its_timer_fires(story: Stories) -> None:
    @workflow.defn
    class Deadline:
        @workflow.run
        async def run(self) -> str:
            try:
                await workflow.wait_condition(lambda: False, timeout=timedelta(hours=1))
            except TimeoutError:
                return "too late"
            return "in time"

    run = story(Deadline)
    (timer,) = run.turn()
    assert attributes_of(timer)["startToFireTimeout"] == "3600s"
    run.fires("1")
    assert run.result(run.turn()) == "too late"


def test_the_loser_of_a_race_is_cancelled_with_a_command(story: Stories) -> None:
    @workflow.defn
    class Race:
        @workflow.run
        async def run(self) -> str:
            timer = asyncio.ensure_future(workflow.sleep(60))
            work = workflow.start_activity(charge, 1, start_to_close_timeout=MINUTE)
            done, waiting = await workflow.wait([timer, work], return_when=asyncio.FIRST_COMPLETED)
            for item in waiting:
                item.cancel()
            await workflow.sleep(1)
            return str(done[0].result())

    run = story(Race)
    first = run.turn()
    assert [kind_of(command) for command in first] == ["SCHEDULE_ACTIVITY_TASK", "START_TIMER"]
    run.completes(attributes_of(first[0])["activityId"], "paid")
    second = [kind_of(command) for command in run.turn()]
    assert sorted(second) == ["CANCEL_TIMER", "START_TIMER"]
    run.fires("2")
    assert run.result(run.turn()) == "paid"


def test_asyncio_timeout_and_gather_work_as_anywhere(story: Stories) -> None:
    @workflow.defn
    class Gathering:
        @workflow.run
        async def run(self) -> list[Any]:
            parts = [
                workflow.execute_activity(charge, cents, start_to_close_timeout=MINUTE)
                for cents in (1, 2)
            ]
            results: list[Any] = list(await asyncio.gather(*parts))
            try:
                async with asyncio.timeout(5):
                    await asyncio.sleep(3600)
            except TimeoutError:
                results.append("timeout")
            return results

    run = story(Gathering)
    ids = [attributes_of(command)["activityId"] for command in run.turn()]
    run.completes(ids[1], "b")
    assert run.turn() == []
    run.completes(ids[0], "a")
    timers = run.turn()
    assert [attributes_of(timer)["startToFireTimeout"] for timer in timers] == ["5s", "3600s"]
    run.fires(attributes_of(timers[0])["timerId"])
    cancelled, completed = run.turn()
    assert attributes_of(cancelled) == {"timerId": attributes_of(timers[1])["timerId"]}
    assert run.result([completed]) == ["a", "b", "timeout"]


def test_continue_as_new_carries_options_memo_and_attributes_on(story: Stories) -> None:
    @workflow.defn(name="Counter")
    class Counter:
        @workflow.run
        async def run(self, number: int) -> None:
            workflow.upsert_memo({"note": "kept", "gone": None})
            workflow.upsert_search_attributes({"CustomerId": "c-1"})
            workflow.continue_as_new(number + 1)

    payload = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}
    run = story(Counter, 1, memo={"fields": {"gone": payload}}, workflowRunTimeout="3600s")
    *_, closing = run.turn()
    assert kind_of(closing) == "CONTINUE_AS_NEW_WORKFLOW_EXECUTION"
    fields = attributes_of(closing)
    values = run.converter.payload_converter.from_payloads(fields["input"])
    assert values == [2]
    assert fields["workflowType"] == {"name": "Counter"}
    assert fields["workflowRunTimeout"] == "3600s"
    assert list(fields["memo"]["fields"]) == ["note"]
    assert list(fields["searchAttributes"]["indexedFields"]) == ["CustomerId"]


@workflow.defn
class Report:
    @workflow.run
    async def run(self) -> list[Any]:
        info, failure = workflow.info(), workflow.get_last_failure()
        has_last = workflow.has_last_completion_result()
        last = workflow.get_last_completion_result(dict[str, int])
        return [info.attempt, info.cron_schedule, has_last, last, failure and str(failure)]


def test_a_next_run_knows_its_attempt_the_last_result_and_the_last_failure(story: Stories) -> None:
    first = story(Report)
    assert first.result(first.turn()) == [1, None, False, None, None]
    result = first.converter.payload_converter.to_payloads([{"rows": 7}])
    following = story(
        Report,
        attempt=2,
        cronSchedule="@daily",
        lastCompletionResult=result,
        continuedFailure={"message": "no paper", "applicationFailureInfo": {"type": "Printer"}},
    )
    expected = [2, "@daily", True, {"rows": 7}, "Printer: no paper"]
    assert following.result(following.turn()) == expected


@workflow.defn
class Guarded:
    @workflow.run
    async def run(self) -> list[Any]:
        first = [
            time.time(),
            workflow.now().isoformat(),
            random.random(),
            workflow.random().randint(1, 6),
            str(uuid.uuid4()),
            str(workflow.uuid4()),
        ]
        await workflow.sleep(1)
        return [*first, time.monotonic(), random.choice("abc")]


def test_clocks_and_randomness_are_the_same_at_each_replay(story: Stories) -> None:
    run = story(Guarded)
    run.turn()
    run.fires("1")
    values = run.result(run.turn())
    assert values[0] == BEGIN.timestamp() + 3
    assert values[1].startswith("2026-01-31T12:00:03")
    assert values[4] != values[5]
    assert time.time() > BEGIN.timestamp(), "outside of workflows the clock is the machine's"


def test_blocking_and_system_randomness_are_refused_in_workflow_code(story: Stories) -> None:
    @workflow.defn
    class Sleepy:
        @workflow.run
        async def run(self) -> None:
            time.sleep(1)  # noqa: ASYNC251

    run = story(Sleepy)
    with pytest.raises(RestrictedAccessError, match=r"workflow\.sleep"):
        run.live.feed(run.events, run.task_starts())


def test_an_ordinary_exception_fails_the_task_and_not_the_workflow(story: Stories) -> None:
    @workflow.defn
    class Buggy:
        @workflow.run
        async def run(self) -> None:
            raise KeyError("oops")

    run = story(Buggy)
    with pytest.raises(KeyError, match="oops"):
        run.live.feed(run.events, run.task_starts())


def test_an_application_error_or_a_declared_exception_fails_the_workflow(story: Stories) -> None:
    @workflow.defn(failure_exception_types=[KeyError])
    class Declared:
        @workflow.run
        async def run(self, kind: str) -> None:
            if kind == "declared":
                raise KeyError("known")
            raise ApplicationError("no stock", {"sku": 7}, type="NoStock", non_retryable=True)

    (closing,) = story(Declared, "declared").turn()
    failure = attributes_of(closing)["failure"]
    assert failure["applicationFailureInfo"]["type"] == "KeyError"
    (closing,) = story(Declared, "application").turn()
    fields = attributes_of(closing)["failure"]["applicationFailureInfo"]
    assert fields["type"] == "NoStock"
    assert fields["nonRetryable"] is True
    assert fields["details"]["payloads"]


def test_waiting_for_handlers_lets_an_async_signal_finish(story: Stories) -> None:
    @workflow.defn
    class Tidy:
        def __init__(self) -> None:
            self.steps: list[str] = []

        @workflow.run
        async def run(self) -> list[str]:
            await workflow.wait_condition(lambda: bool(self.steps))
            await workflow.wait_condition(workflow.all_handlers_finished)
            return self.steps

        @workflow.signal
        async def step(self, name: str) -> None:
            self.steps.append(f"{name} begins")
            await workflow.sleep(1)
            self.steps.append(f"{name} ends")

    run = story(Tidy)
    run.signals("step", "a")
    assert [kind_of(command) for command in run.turn()] == ["START_TIMER"]
    run.fires("1")
    assert run.result(run.turn()) == ["a begins", "a ends"]


def test_as_completed_yields_in_the_order_of_history(story: Stories) -> None:
    @workflow.defn
    class Ordered:
        @workflow.run
        async def run(self) -> list[str]:
            running = [
                workflow.start_activity(charge, cents, start_to_close_timeout=MINUTE)
                for cents in (1, 2, 3)
            ]
            return [await item async for item in workflow.as_completed(running)]

    run = story(Ordered)
    ids = [attributes_of(command)["activityId"] for command in run.turn()]
    for index, value in ((2, "third"), (0, "first"), (1, "second")):
        run.completes(ids[index], value)
        commands = run.turn()
    assert run.result(commands) == ["third", "first", "second"]


def test_clean_up_code_runs_at_eviction_and_gives_no_commands(story: Stories) -> None:
    cleaned: list[str] = []

    @workflow.defn
    class Cleaning:
        @workflow.run
        async def run(self) -> None:
            try:
                await workflow.sleep(60)
            finally:
                cleaned.append("yes")
                await workflow.execute_activity(charge, 1, start_to_close_timeout=MINUTE)

    run = story(Cleaning)
    run.turn()
    cleaned.clear()
    run.live.evict()
    assert cleaned == ["yes"]
    assert not run.live.loop.tasks
