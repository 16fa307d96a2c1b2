"""The list of workflows and the page of one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.web.conftest import Visitor
from tests.web.fake_cloud import NAMESPACE
from tests.web.histories import RUN_ID, event, execution, failure, pending_activity
from web.pages.workflows import search_query, status_key

LIST = f"/namespaces/{NAMESPACE}/workflows"
RUNNING = f"{LIST}/order-1042/{RUN_ID}"
CLOSED = f"{LIST}/order-1041/{RUN_ID}"


@pytest.mark.parametrize(
    ("text", "status", "query"),
    [
        ("", "", ""),
        ("order-10", "", "WorkflowId STARTS_WITH 'order-10'"),
        ("", "failed", "ExecutionStatus = 'Failed'"),
        ("a", "timed-out", "ExecutionStatus = 'TimedOut' AND (WorkflowId STARTS_WITH 'a')"),
        (
            "WorkflowType = 'A' OR RunId = 'b'",
            "running",
            "ExecutionStatus = 'Running' AND (WorkflowType = 'A' OR RunId = 'b')",
        ),
        ("o'brien", "", "o'brien"),
        ("", "no such status", ""),
    ],
)
def test_what_is_typed_becomes_a_query(text: str, status: str, query: str) -> None:
    assert search_query(text, status) == query


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("WORKFLOW_EXECUTION_STATUS_TIMED_OUT", "timed-out"),
        ("ContinuedAsNew", "continued-as-new"),
        ("Running", "running"),
        ("", "unknown"),
    ],
)
def test_a_status_has_one_key_however_it_is_named(name: str, key: str) -> None:
    assert status_key(name) == key


async def test_the_list_shows_each_workflow_and_how_many_there_are_of_each_status(
    user: Visitor,
) -> None:
    page = await user.page(LIST)
    rows = [each.text for each in page.all("tr")]
    assert rows[1].startswith("Running order-1042 11 s ago · Greeting Greeting 20")
    assert len(rows) == 1 + len(user.cloud.executions)
    chips = [each.text for each in page.all("a", _class="chip")]
    assert chips[:3] == ["All 9", "Running 1", "Completed 3"]


async def test_the_next_page_keeps_the_filter(user: Visitor) -> None:
    user.cloud.next_page = "cGFnZTI="
    page = await user.page(f"{LIST}?status=failed&query=order")
    older = page.one("a", rel="next").attributes["href"]
    await user.page(older)
    assert user.cloud.page_tokens == ["", "cGFnZTI="]
    assert user.cloud.queries[0] == user.cloud.queries[1]


async def test_a_query_that_cannot_be_read_is_answered_beside_its_box(user: Visitor) -> None:
    page = await user.page(f"{LIST}?query=BAD+query", 400)
    assert page.one("p", role="alert").text.startswith("Query: unexpected word BAD")
    assert page.one("input", name="query").attributes["value"] == "BAD query"


async def test_a_search_without_results_offers_the_way_back(user: Visitor) -> None:
    user.cloud.executions.clear()
    assert "Nothing matches" in (await user.page(f"{LIST}?status=failed")).text
    assert "No workflows yet" in (await user.page(LIST)).text


async def test_an_id_with_slashes_and_spaces_has_a_page_of_its_own(user: Visitor) -> None:
    user.cloud.executions[:] = [execution("a/b c?#%/d")]
    link = next(link for link in (await user.page(LIST)).links() if link.startswith(LIST + "/"))
    assert "a%2Fb%20c%3F%23%25%2Fd" in link
    assert (await user.page(link)).one("h1").text == "a/b c?#%/d"


async def test_a_closed_workflow_shows_its_input_result_and_steps(user: Visitor) -> None:
    page = await user.page(CLOSED)
    assert '"greeting": "Hello, world!"' in page.text
    assert '"world"' in page.text
    titles = [each.text for each in page.all("span", _class="entry-title")]
    assert titles == [
        "Workflow execution started",
        "greet activity",
        "Timer of 2 s",
        "add-points signal",
        "Workflow execution completed",
    ]
    assert not page.all(id="terminate")
    assert "every 2s" not in {e.attributes.get("hx-trigger") for e in page.all("div")}


async def test_all_events_are_listed_on_request(user: Visitor) -> None:
    page = await user.page(f"{CLOSED}?history=full")
    assert len(page.all("span", _class="entry-title")) == 11
    assert "Workflow task completed" in page.text


async def test_an_encrypted_payload_is_named_and_not_shown(user: Visitor) -> None:
    page = await user.page(CLOSED)
    sealed = page.all("p", _class="sealed")[0].text
    assert sealed == "Encrypted by your code, 64 B, key 2026-11 binary/encrypted"
    assert "AQEBAQ" not in (await user.get(CLOSED)).text


async def test_a_failed_workflow_shows_the_failure_and_its_cause(user: Visitor) -> None:
    user.cloud.history = [event(1, "WORKFLOW_EXECUTION_FAILED", 3, failure=failure())]
    page = await user.page(f"{LIST}/order-1039/{RUN_ID}")
    assert "CardDeclined the card was declined" in page.text
    assert "HTTPError caused it HTTP 402" in page.text


async def test_a_continued_workflow_leads_to_its_next_run(user: Visitor) -> None:
    user.cloud.history = [
        event(1, "WORKFLOW_EXECUTION_CONTINUED_AS_NEW", 3, new_execution_run_id="next-run")
    ]
    page = await user.page(f"{LIST}/order-1035/{RUN_ID}")
    assert f"{LIST}/order-1035/next-run" in page.links()


async def test_pending_activities_show_attempts_and_the_last_failure(user: Visitor) -> None:
    user.cloud.pending.append(pending_activity())
    text = (await user.page(RUNNING)).one("ul", _class="pending").text
    assert "charge_card scheduled, attempt 4 of 10" in text
    assert "CardDeclined the card was declined" in text


async def test_a_workflow_whose_code_fails_says_so_with_the_failure(user: Visitor) -> None:
    user.cloud.history = [
        event(1, "WORKFLOW_EXECUTION_STARTED", 0),
        event(2, "WORKFLOW_TASK_SCHEDULED", 0),
        event(4, "WORKFLOW_TASK_FAILED", 0, scheduled_event_id=2, failure=failure()),
    ]
    user.cloud.pending_task = {"state": "PENDING_WORKFLOW_TASK_STATE_STARTED", "attempt": 4}
    text = (await user.page(RUNNING)).text
    assert "The workflow's code fails Attempt 4" in text
    assert "start the worker again, and the workflow goes on from here. CardDeclined" in text


@pytest.mark.parametrize(("seconds", "is_told"), [(0, False), (60, True)])
async def test_a_workflow_that_finds_no_worker_says_so(
    user: Visitor, seconds: int, is_told: bool
) -> None:
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    user.cloud.pending_task = {
        "state": "PENDING_WORKFLOW_TASK_STATE_SCHEDULED",
        "scheduledTime": since.isoformat(),
        "attempt": 1,
    }
    text = (await user.page(RUNNING)).text
    assert ("Waiting for a worker" in text) is is_told


async def test_an_activity_that_no_worker_has_is_waiting_and_not_running(user: Visitor) -> None:
    waiting = pending_activity()
    user.cloud.history = [
        event(5, "ACTIVITY_TASK_SCHEDULED", 1, activity_id=waiting.activity_id),
        event(6, "ACTIVITY_TASK_SCHEDULED", 1, activity_id="another"),
    ]
    user.cloud.pending.append(waiting)
    page = await user.page(RUNNING)
    assert "Waiting" in page.one("details", id="step-5").text
    assert "Running" in page.one("details", id="step-6").text


@pytest.mark.parametrize(("state", "told"), [(-60, "scheduled 1 min ago, waits"), (60, "next")])
async def test_a_pending_activity_says_what_it_waits_for(
    user: Visitor, state: int, told: str
) -> None:
    due_at = datetime.now(UTC) + timedelta(seconds=state)
    waiting = pending_activity()
    waiting.scheduled_time.FromDatetime(due_at)
    waiting.next_attempt_schedule_time.FromDatetime(due_at)
    user.cloud.pending.append(waiting)
    assert told in (await user.page(RUNNING)).one("ul", _class="pending").text


async def test_a_long_history_is_shown_page_by_page(user: Visitor) -> None:
    user.cloud.history = [event(n, "WORKFLOW_EXECUTION_SIGNALED", n) for n in range(1, 701)]
    user.cloud.events_per_page = 256
    first = await user.page(f"{CLOSED}?history=full")
    assert "events 1 to 512 of" in first.text
    assert "These are the steps on this page of the history." in first.text
    following = first.one("a", rel="next").attributes["href"]
    second = await user.page(following)
    assert "events 513 to 700 of" in second.text
    assert "Input It is on the first page of the history." in second.text
    assert len(second.all("span", _class="entry-title")) == 188
    assert not second.all("a", rel="next")
    assert not second.all("a", rel="last")
    again = await user.page(second.one("a", rel="first").attributes["href"])
    assert "events 1 to 512 of" in again.text


async def test_a_long_history_is_read_from_its_end(user: Visitor) -> None:
    user.cloud.history = [event(n, "WORKFLOW_EXECUTION_SIGNALED", n) for n in range(1, 1201)]
    user.cloud.events_per_page = 256
    first = await user.page(f"{CLOSED}?history=full")
    assert not first.all("a", rel="first")
    latest = await user.page(first.one("a", rel="last").attributes["href"])
    assert "events 689 to 1 200 of" in latest.text
    numbers = [each.text for each in latest.all("span", _class="entry-id num")]
    assert (numbers[0], numbers[-1], len(numbers)) == ("689", "1200", 512)
    assert not latest.all("a", rel="last")
    middle = await user.page(latest.one("a", rel="prev").attributes["href"])
    assert "events 177 to 688 of" in middle.text
    assert middle.all("a", rel="last")
    beginning = await user.page(middle.one("a", rel="prev").attributes["href"])
    assert "events 1 to 176 of" in beginning.text
    assert not beginning.all("a", rel="prev")
    assert not beginning.all("a", rel="first")


async def test_a_short_history_has_no_pages(user: Visitor) -> None:
    page = await user.page(CLOSED)
    assert not page.all("nav", **{"aria-label": "Ends of history"})
    assert not page.all("nav", **{"aria-label": "Pages of history"})


async def test_the_latest_events_of_a_running_workflow_are_followed(user: Visitor) -> None:
    user.cloud.history = [event(n, "WORKFLOW_EXECUTION_SIGNALED", n) for n in range(1, 601)]
    page = await user.page(f"{RUNNING}?end=latest")
    assert "end=latest" in page.one(id="live").attributes["hx-get"]
    steps, every = (
        each.attributes["href"] for each in page.one("nav", **{"aria-label": "Detail"}).all("a")
    )
    assert steps.endswith("?end=latest#history")
    assert "history=full" in every
    assert "end=latest" in every
    before = await user.page(f"{RUNNING}?before=100")
    assert "hx-get" not in before.one(id="live").attributes


async def test_a_running_workflow_is_asked_for_again_until_something_happened(
    user: Visitor,
) -> None:
    live = (await user.page(RUNNING)).one(id="live").attributes["hx-get"]
    assert (await user.get(live)).status_code == 204
    user.cloud.pending.append(pending_activity())
    assert (await user.get(live)).status_code == 200


async def test_the_timeline_has_one_bar_for_each_step(user: Visitor) -> None:
    model = json.loads((await user.page(CLOSED)).one("workflow-timeline").attributes["data-model"])
    assert [(row["label"], row["status"]) for row in model["rows"]] == [
        ("greet", "completed"),
        ("Timer of 2 s", "completed"),
        ("add-points", "recorded"),
    ]
    assert model["rows"][0]["to"] - model["rows"][0]["from"] == pytest.approx(1200)
    assert model["end"] is not None


@pytest.mark.parametrize(
    ("action", "form", "path", "body"),
    [
        (
            "signal",
            {"name": "add points", "input": '{"n": 3}'},
            "/signal/add%20points",
            {"input": [{"n": 3}]},
        ),
        ("signal", {"name": "go", "input": " "}, "/signal/go", {"input": []}),
        ("cancel", {"reason": "moved"}, "/cancel", {"reason": "moved"}),
        ("terminate", {"reason": "stuck"}, "/terminate", {"reason": "stuck"}),
    ],
)
async def test_an_action_reaches_this_run(
    user: Visitor, action: str, form: dict[str, str], path: str, body: dict[str, Any]
) -> None:
    response = await user.post(f"{RUNNING}/{action}", **form)
    assert response.status_code == 303
    ((verb, called, sent),) = user.cloud.writes
    assert (verb, called) == ("POST", f"/api/v1{LIST}/order-1042{path}")
    sent.pop("requestId", None)
    assert sent == {"workflowExecution": {"runId": RUN_ID}, **body}
    assert (await user.page(response.headers["location"])).all("p", role="status")


@pytest.mark.parametrize(
    ("form", "problem"),
    [({"name": ""}, "A signal has a name"), ({"name": "go", "input": "oops"}, "is not JSON")],
)
async def test_a_signal_that_makes_no_sense_is_not_sent(
    user: Visitor, form: dict[str, str], problem: str
) -> None:
    response = await user.post(f"{RUNNING}/signal", **form)
    assert response.status_code == 400
    assert problem in response.text
    assert not user.cloud.writes


async def test_an_unknown_action_is_no_page(user: Visitor) -> None:
    assert (await user.post(f"{RUNNING}/reset")).status_code == 404
    assert not user.cloud.writes
