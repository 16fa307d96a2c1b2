"""The workflows of a namespace: by status, by search, page by page."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from tenancy.clock import now
from web.cloud import Answer, Cloud, namespace_path
from web.errors import Refused
from web.formats import read_time, words
from web.payloads import plain_value
from web.visit import Visit

PAGE_SIZE = 25
STATUS_PREFIX = "WORKFLOW_EXECUTION_STATUS_"
# As they are named in a query, and as an address and a style sheet name them.
STATUSES = {
    "running": "Running",
    "completed": "Completed",
    "failed": "Failed",
    "timed-out": "TimedOut",
    "canceled": "Canceled",
    "terminated": "Terminated",
    "continued-as-new": "ContinuedAsNew",
}
_ID = re.compile(r"[^\s=<>!'\"()]+")


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    id: str
    run_id: str
    type: str
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    task_queue: str
    event_count: int

    @property
    def is_running(self) -> bool:
        return self.status == "running"

    @property
    def length(self) -> timedelta | None:
        return (self.ended_at or now()) - self.started_at if self.started_at else None


@dataclass(frozen=True, slots=True)
class StatusFilter:
    """`count` is None where the cloud did not say how many there are."""

    key: str
    name: str
    count: int | None
    is_chosen: bool


def workflow_row(answer: Answer) -> WorkflowRow:
    execution = answer.get("execution") or {}
    return WorkflowRow(
        id=str(execution.get("workflowId", "")),
        run_id=str(execution.get("runId", "")),
        type=str((answer.get("type") or {}).get("name", "")),
        status=status_key(str(answer.get("status", ""))),
        started_at=read_time(answer.get("startTime")),
        ended_at=read_time(answer.get("closeTime")),
        task_queue=str(answer.get("taskQueue", "")),
        event_count=int(answer.get("historyLength", 0)),
    )


def status_key(name: str) -> str:
    """`timed-out` for WORKFLOW_EXECUTION_STATUS_TIMED_OUT and for TimedOut."""
    text = words(name.removeprefix(STATUS_PREFIX))
    return text.lower().replace(" ", "-") or "unknown"


def search_query(text: str, status: str = "") -> str:
    """What was typed as a query: a word that has no operator is the beginning of an id."""
    text = text.strip()
    if _ID.fullmatch(text):
        text = f"WorkflowId STARTS_WITH '{text}'"
    wanted = f"ExecutionStatus = '{STATUSES[status]}'" if status in STATUSES else ""
    return f"{wanted} AND ({text})" if wanted and text else wanted or text


async def recent(cloud: Cloud, namespace: str, page_size: int) -> list[WorkflowRow]:
    answer = await cloud.get(namespace_path(namespace, "workflows"), pageSize=page_size)
    return [workflow_row(each) for each in answer.get("executions") or []]


async def count_by_status(cloud: Cloud, namespace: str, query: str = "") -> Mapping[str, int]:
    grouped = f"{query} GROUP BY ExecutionStatus".strip()
    answer = await cloud.get(namespace_path(namespace, "workflow-count"), query=grouped)
    counts: dict[str, int] = {}
    for group in answer.get("groups") or []:
        for value in group.get("groupValues") or []:
            counts[status_key(str(plain_value(value)))] = int(group.get("count", 0))
    return counts


async def show(visit: Visit) -> Response:
    namespace = visit.path("namespace")
    text, status, token = (visit.query(name) for name in ("query", "status", "page"))
    query = search_query(text, status)
    wanted: dict[str, str | int] = {
        "pageSize": PAGE_SIZE,
        "query": query,
        "nextPageToken": token,
    }
    path = namespace_path(namespace, "workflows")
    answer: Answer = {}
    counts: Mapping[str, int] = {}
    problem: Refused | None = None
    try:
        answer, counts = await asyncio.gather(
            visit.cloud.get(path, **{name: value for name, value in wanted.items() if value}),
            count_by_status(visit.cloud, namespace, search_query(text)),
        )
    except Refused as error:
        # A query that cannot be read is the visitor's to mend, beside the box it was typed in.
        if error.status != 400:
            raise
        problem = error
    return visit.page(
        "workflows.html",
        status=problem.status if problem else 200,
        namespace=namespace,
        rows=[workflow_row(each) for each in answer.get("executions") or []],
        filters=_filters(counts, status, is_counted=problem is None),
        text=text,
        chosen_status=status,
        page=token,
        next_page=str(answer.get("nextPageToken", "")),
        problem=problem or "",
    )


def _filters(counts: Mapping[str, int], chosen: str, *, is_counted: bool) -> list[StatusFilter]:
    total = sum(counts.values()) if is_counted else None
    filters = [StatusFilter("", "All", total, chosen not in STATUSES)]
    for key, name in STATUSES.items():
        number = counts.get(key, 0) if is_counted else None
        filters.append(StatusFilter(key, words(name), number, key == chosen))
    return filters
