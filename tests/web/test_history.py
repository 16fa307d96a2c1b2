"""How events become steps, and payloads and durations become text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.failure.v1 import Failure

from tests.web.histories import (
    activity_events,
    as_json,
    encrypted_payload,
    event,
    failure,
    history_json,
    json_payload,
)
from web.formats import read_duration, read_time, span
from web.history import is_noise, read_events, steps_of
from web.payloads import TEXT_CHARACTERS_MAX, payload_view


def step_lines(*events: object) -> list[str]:
    steps = steps_of(read_events(history_json(events)))  # type: ignore[arg-type]
    return [f"{step.kind} {step.label}: {step.status}" for step in steps if not is_noise(step)]


def test_an_activity_is_one_step_from_schedule_to_end() -> None:
    scheduled, started, completed = activity_events(5, "charge", 0, 1)
    assert step_lines(scheduled) == ["activity charge: running"]
    assert step_lines(scheduled, started) == ["activity charge: running"]
    assert step_lines(scheduled, started, completed) == ["activity charge: completed"]


def test_steps_that_run_side_by_side_keep_their_own_events() -> None:
    first, second = activity_events(5, "a", 0, 1), activity_events(10, "b", 0, 2)
    mixed = [first[0], second[0], second[1], first[1], second[2], first[2]]
    assert step_lines(*mixed) == ["activity a: completed", "activity b: completed"]


def test_a_workflow_task_is_shown_only_when_it_failed() -> None:
    scheduled = event(2, "WORKFLOW_TASK_SCHEDULED", 0)
    failed = event(4, "WORKFLOW_TASK_FAILED", 0, scheduled_event_id=2, started_event_id=3)
    assert step_lines(scheduled) == []
    assert step_lines(scheduled, failed) == ["workflow task Workflow task: failed"]


def test_a_step_whose_beginning_is_on_an_earlier_page_stands_by_itself() -> None:
    assert step_lines(activity_events(5, "a", 0, 1)[2]) == ["activity Activity: completed"]


def test_a_step_that_nothing_ends_stands_as_its_page_says() -> None:
    begun = event(8, "TIMER_STARTED", 0, start_to_fire_timeout=timedelta(days=30))
    ended = event(9, "WORKFLOW_EXECUTION_TERMINATED", 1, reason="made by mistake")
    timer, end = steps_of(read_events(history_json([begun, ended])), "unfinished")
    assert (timer.status, timer.is_open, timer.ended_at) == ("unfinished", True, None)
    assert (end.status, end.summary) == ("terminated", "made by mistake")


def test_a_failed_step_is_summed_up_by_what_failed_and_not_by_what_carries_it() -> None:
    carried = Failure(message="Activity task failed", cause=failure())
    carried.activity_failure_info.SetInParent()
    (step,) = steps_of(
        read_events(history_json([event(9, "WORKFLOW_EXECUTION_FAILED", 1, failure=carried)]))
    )
    assert step.summary == "the card was declined"


def test_a_canceled_timer_is_one_step() -> None:
    started = event(8, "TIMER_STARTED", 0, start_to_fire_timeout=timedelta(days=30))
    canceled = event(9, "TIMER_CANCELED", 1, started_event_id=8)
    assert step_lines(started, canceled) == ["timer Timer of 30 d: canceled"]


def test_a_request_to_cancel_is_no_step_that_runs() -> None:
    assert step_lines(event(4, "WORKFLOW_EXECUTION_CANCEL_REQUESTED", 0)) == [
        "workflow Workflow execution cancel requested: recorded"
    ]
    scheduled, started, _ = activity_events(5, "charge", 0, 1)
    asked = event(8, "ACTIVITY_TASK_CANCEL_REQUESTED", 1, scheduled_event_id=5)
    assert step_lines(scheduled, started, asked) == ["activity charge: running"]


def test_a_payload_is_shown_as_what_it_says_it_is() -> None:
    shown = payload_view(as_json(json_payload({"name": "Zoë"})))
    assert shown.text == '{\n  "name": "Zoë"\n}'
    sealed = payload_view(as_json(encrypted_payload()))
    assert (sealed.is_encrypted, sealed.text, sealed.size_bytes) == (True, "", 64)
    assert payload_view({"metadata": {"encoding": "YmluYXJ5L251bGw="}}).text == "null"
    assert payload_view({"metadata": "mine", "data": 1}).text.startswith("{")


@pytest.mark.parametrize("data", ["", "e30=e", "/w==", "W1tbW1tb"])
def test_a_payload_that_breaks_its_own_promise_is_still_shown(data: str) -> None:
    view = payload_view({"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": data})
    assert view.encoding == "json/plain"


def test_a_long_payload_is_cut() -> None:
    view = payload_view(as_json(json_payload("x" * (TEXT_CHARACTERS_MAX + 1))))
    assert (len(view.text), view.is_cut) == (TEXT_CHARACTERS_MAX, True)
    assert not payload_view(as_json(json_payload("x" * (TEXT_CHARACTERS_MAX - 2)))).is_cut


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(milliseconds=340), "340 ms"),
        (timedelta(seconds=2), "2 s"),
        (timedelta(seconds=12.34), "12.3 s"),
        (timedelta(minutes=3, seconds=12), "3 min 12 s"),
        (timedelta(hours=2), "2 h"),
        (timedelta(days=30, hours=4, seconds=9), "30 d 4 h"),
        (timedelta(seconds=-1), "0 ms"),
        (None, "—"),
    ],
)
def test_a_duration_has_its_two_largest_units(length: timedelta | None, text: str) -> None:
    assert span(length) == text


def test_times_of_the_api_are_read_to_the_microsecond() -> None:
    assert read_time("2026-11-20T14:03:22.123456789Z") == datetime(
        2026, 11, 20, 14, 3, 22, 123456, tzinfo=UTC
    )
    assert read_time("2026-11-20T14:03:22.5Z") == datetime(
        2026, 11, 20, 14, 3, 22, 500000, tzinfo=UTC
    )
    assert read_time("") is None
    assert read_duration("1.5s") == timedelta(seconds=1.5)
    assert read_duration("999999999999999s") is None
