"""One workflow: what it is, what it did, what it waits for, and what can be done to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from starlette.responses import Response

from tenancy.clock import now
from web.cloud import Answer, Cloud, namespace_path, segment
from web.errors import NoSuchPage, Refused
from web.formats import read_time
from web.history import Event, Step, find, is_noise, read_events, steps_of
from web.pages.workflows import WorkflowRow, workflow_row
from web.payloads import FailureView, PayloadView, failure_views, payload_views
from web.timeline import timeline
from web.visit import Visit

EVENTS_PER_PAGE = 500
"""As many as are read before there is a next page; the API gives them in smaller ones."""

LATEST_EVENTS = 20
WAITING_SECONDS = 5
"""How long a task may lie in its queue before the page says that no worker takes it."""

CLOSING = tuple(
    f"WORKFLOW_EXECUTION_{end}"
    for end in ("COMPLETED", "FAILED", "TIMED_OUT", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW")
)
ACTIONS = {"signal": "signaled", "cancel": "canceled", "terminate": "terminated"}
"""What a form of the page does, and the notice that follows."""


PLACES = ("end", "before", "after")
"""What an address says of the part of a history that it shows; nothing is the first page."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Events in their order, and the tokens of those before and behind them.

    A page is read forwards or backwards, and goes on in that direction alone.
    """

    events: list[Event]
    earlier: str = ""
    later: str = ""
    is_last: bool = False

    @property
    def is_first(self) -> bool:
        return not self.events or self.events[0].id == "1"


@dataclass(frozen=True, slots=True)
class PendingActivity:
    id: str
    type: str
    state: str
    attempt: int
    attempts_max: int
    scheduled_at: datetime | None
    next_attempt_at: datetime | None
    """None if it is due."""

    heartbeat_at: datetime | None
    worker: str
    failures: list[FailureView]
    heartbeat: list[PayloadView]


@dataclass(frozen=True, slots=True)
class PendingTask:
    """Why a workflow does not go on: its code fails, or no worker is there to run it."""

    attempt: int
    scheduled_at: datetime | None
    failures: list[FailureView]


@dataclass(frozen=True, slots=True)
class Ending:
    """What came out of a closed run; `next_run_id` goes on with it."""

    result: list[PayloadView]
    failures: list[FailureView]
    reason: str
    next_run_id: str


async def show(visit: Visit) -> Response:
    return await _page(visit)


async def act(visit: Visit) -> Response:
    """Signals, cancels or terminates this run and no later one."""
    action = visit.path("action")
    if action not in ACTIONS:
        raise NoSuchPage
    rest: Answer = {"workflowExecution": {"runId": visit.path("run")}, "requestId": str(uuid4())}
    names = [visit.path("workflow"), action]
    form = visit.form
    try:
        if action == "signal":
            names.append(form.get("name", "").strip())
            if not names[-1]:
                raise Refused(400, "A signal has a name; enter the one your workflow listens to.")
            rest["input"] = _input(form.get("input", ""))
        else:
            rest["reason"] = form.get("reason", "").strip()
        if action == "terminate":
            del rest["requestId"]
        await visit.cloud.post(namespace_path(visit.path("namespace"), "workflows", *names), rest)
    except Refused as error:
        return await _page(visit, problem=error)
    return visit.go(_address(visit), notice=ACTIONS[action])


def _input(text: str) -> list[Any]:
    """The value typed for a signal, as the list of its arguments."""
    if not text.strip():
        return []
    try:
        return [json.loads(text)]
    except ValueError as error:
        raise Refused(
            400, f'The input is not JSON ({error}); text needs quotes: "like this".'
        ) from None


def _address(visit: Visit) -> str:
    names = (visit.path(name) for name in ("namespace", "workflow", "run"))
    namespace, workflow, run = map(segment, names)
    return f"/namespaces/{namespace}/workflows/{workflow}/{run}"


async def _page(visit: Visit, *, problem: Refused | None = None) -> Response:
    namespace, workflow, run = (visit.path(name) for name in ("namespace", "workflow", "run"))
    execution: dict[str, str | int] = {"execution.runId": run}
    path = namespace_path(namespace, "workflows", workflow)
    described = await visit.cloud.get(path, **execution)
    row = workflow_row(described["workflowExecutionInfo"])
    stuck = _stuck_task(described)
    version = _version(described, stuck)
    if visit.query("known") == version:
        # The page asks again and again while it is open; nothing has happened since.
        return Response(status_code=204)
    history, closing, task = await asyncio.gather(
        _history(visit, path, execution),
        _closing_event(visit, path, run, row),
        _pending_task(visit.cloud, f"{path}/history-reverse", execution, stuck),
    )
    pending = [_pending(each) for each in described.get("pendingActivities") or []]
    steps = steps_of(history.events, _open_status(row, history))
    _mark_waiting(steps, {each.id for each in pending if each.state == "scheduled"})
    started = find(history.events, "WORKFLOW_EXECUTION_STARTED")
    return visit.page(
        "workflow.html",
        status=problem.status if problem else 200,
        namespace=namespace,
        row=row,
        address=_address(visit),
        version=version,
        problem=problem or "",
        info=described["workflowExecutionInfo"],
        input=payload_views(started.attributes.get("input")) if started else [],
        ending=_ending(closing),
        history=history,
        steps=[step for step in steps if not is_noise(step)],
        is_full=visit.query("history") == "full",
        place={name: visit.query(name) for name in PLACES if visit.query(name)},
        task=task,
        pending=pending,
        timeline=timeline(steps, started_at=row.started_at, ended_at=row.ended_at),
    )


async def _history(visit: Visit, path: str, execution: Mapping[str, str | int]) -> HistoryPage:
    before = visit.query("before")
    if before or visit.query("end") == "latest":
        path = f"{path}/history-reverse"
        events, earlier = await _events(visit.cloud, path, execution, before)
        return HistoryPage(events[::-1], earlier=earlier, is_last=not before)
    after = visit.query("after")
    events, later = await _events(visit.cloud, f"{path}/history", execution, after)
    return HistoryPage(events, later=later, is_last=not later)


async def _events(
    cloud: Cloud, path: str, execution: Mapping[str, str | int], token: str
) -> tuple[list[Event], str]:
    """Events as the path tells them from `token` on, and the token of those that follow."""
    events: list[Event] = []
    while True:
        query = {**execution, "nextPageToken": token} if token else execution
        answer = await cloud.get(path, **query)
        events += read_events(answer)
        token = str(answer.get("nextPageToken", ""))
        if not token or len(events) >= EVENTS_PER_PAGE:
            return events, token


def _stuck_task(described: Answer) -> Answer:
    """The workflow task that keeps failing or finds no worker; empty if there is none."""
    task: Answer = described.get("pendingWorkflowTask") or {}
    since = read_time(task.get("scheduledTime"))
    is_waiting = (
        str(task.get("state", "")).endswith("_SCHEDULED")
        and since is not None
        and now() - since > timedelta(seconds=WAITING_SECONDS)
    )
    return task if is_waiting or int(task.get("attempt", 0)) > 1 else {}


async def _pending_task(
    cloud: Cloud, path: str, execution: Mapping[str, str | int], task: Answer
) -> PendingTask | None:
    if not task:
        return None
    attempt = int(task.get("attempt", 1))
    failed: Event | None = None
    if attempt > 1:
        latest = await cloud.get(path, maximumPageSize=LATEST_EVENTS, **execution)
        failed = find(read_events(latest), "WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT")
    failures = failure_views(failed.attributes.get("failure")) if failed else []
    return PendingTask(attempt, read_time(task.get("scheduledTime")), failures)


async def _closing_event(visit: Visit, path: str, run: str, row: WorkflowRow) -> Event | None:
    """The last event of a closed run, which need not be on the page of history that is shown."""
    if row.is_running:
        return None
    wanted = "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"
    query: dict[str, str | int] = {"execution.runId": run, "historyEventFilterType": wanted}
    return find(read_events(await visit.cloud.get(f"{path}/history", **query)), *CLOSING)


def _ending(event: Event | None) -> Ending | None:
    if event is None:
        return None
    attributes = event.attributes
    return Ending(
        result=payload_views(attributes.get("result")),
        failures=failure_views(attributes.get("failure")),
        reason=str(attributes.get("reason", "")),
        next_run_id=str(attributes.get("newExecutionRunId", "")),
    )


def _open_status(row: WorkflowRow, history: HistoryPage) -> str:
    """How a step stands that no event on this page ends."""
    if not history.is_last:
        return "recorded"
    return "running" if row.is_running else "unfinished"


def _mark_waiting(steps: Iterable[Step], activity_ids: Container[str]) -> None:
    """No worker has these activities, so they do not run."""
    for step in steps:
        if step.kind == "activity" and step.events[0].attributes.get("activityId") in activity_ids:
            step.open_status = "waiting"


def _version(described: Answer, stuck: Answer) -> str:
    """Changes whenever the page would: with each event, attempt and heartbeat."""
    info = described["workflowExecutionInfo"]
    pending = [
        f"{each.get('attempt', 0)}{each.get('state', '')[-7:]}{each.get('lastHeartbeatTime', '')}"
        for each in described.get("pendingActivities") or []
    ]
    return ".".join((str(info.get("historyLength", 0)), str(stuck.get("attempt", 0)), *pending))


def _pending(answer: Answer) -> PendingActivity:
    next_attempt_at = read_time(answer.get("nextAttemptScheduleTime"))
    is_ahead = next_attempt_at is not None and next_attempt_at > now()
    return PendingActivity(
        id=str(answer.get("activityId", "")),
        type=str((answer.get("activityType") or {}).get("name", "")),
        state=str(answer.get("state", "")).removeprefix("PENDING_ACTIVITY_STATE_").lower(),
        attempt=int(answer.get("attempt", 1)),
        attempts_max=int(answer.get("maximumAttempts", 0)),
        scheduled_at=read_time(answer.get("scheduledTime")),
        next_attempt_at=next_attempt_at if is_ahead else None,
        heartbeat_at=read_time(answer.get("lastHeartbeatTime")),
        worker=str(answer.get("lastWorkerIdentity", "")),
        failures=failure_views(answer.get("lastFailure")),
        heartbeat=payload_views(answer.get("heartbeatDetails")),
    )
