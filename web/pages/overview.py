"""A namespace's first page: how to connect to it, and what happens in it, live."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from web.cloud import Answer, Cloud, namespace_path, segment
from web.errors import Refused
from web.pages.keys import LIFE_DAYS_DEFAULT, make_key
from web.pages.namespaces import NamespaceRow, namespace_row
from web.pages.workflows import STATUSES, count_by_status, recent
from web.visit import Visit

QUICKSTART_QUEUE = "hello"
QUICKSTART_KEY_NAME = "quickstart"
KEY_PLACEHOLDER = "YOUR_API_KEY"
RECENT_COUNT = 5
BEGINNING_COUNT = 3
"""With so many workflows somebody is still trying out how it works."""


async def show(visit: Visit) -> Response:
    return await _page(visit)


async def create_key(visit: Visit) -> Response:
    """A key for the quickstart, put into its code."""
    try:
        token = await make_key(
            visit.cloud,
            visit.path("namespace"),
            QUICKSTART_KEY_NAME,
            permission="write",
            life_days=LIFE_DAYS_DEFAULT,
        )
    except Refused as error:
        return await _page(visit, problem=error)
    return await _page(visit, token=token)


async def _page(visit: Visit, *, token: str = "", problem: Refused | None = None) -> Response:
    name = visit.path("namespace")
    answer = await visit.cloud.get(f"/cloud/namespaces/{segment(name)}")
    row = namespace_row(answer["namespace"])
    if not row.is_active:
        failure = await _failure(visit.cloud, row)
        return visit.page("creating.html", namespace=name, row=row, failure=failure)
    counts, queues, workflows = await asyncio.gather(
        count_by_status(visit.cloud, name),
        _polled_queues(visit.cloud, name),
        recent(visit.cloud, name, RECENT_COUNT),
    )
    total = sum(counts.values())
    has_completed = counts.get("completed", 0) > 0
    completed = next((each for each in workflows if each.status == "completed"), None)
    return visit.page(
        "overview.html",
        status=problem.status if problem else 200,
        namespace=name,
        row=row,
        origin=visit.origin,
        queue=QUICKSTART_QUEUE,
        token=token,
        key=token or KEY_PLACEHOLDER,
        problem=problem or "",
        counts={key: counts.get(key, 0) for key in STATUSES},
        total=total,
        beginning_count=BEGINNING_COUNT,
        queues=queues,
        has_worker=bool(queues) or has_completed,
        is_beginning=not has_completed and total <= BEGINNING_COUNT,
        completed=completed,
        workflows=workflows,
    )


async def _polled_queues(cloud: Cloud, namespace: str) -> list[str]:
    """The task queues that workers ask for tasks."""
    answer = await cloud.get(namespace_path(namespace, "task-queues"))
    return sorted({each["name"] for each in answer.get("taskQueues") or [] if _is_polled(each)})


def _is_polled(queue: Answer) -> bool:
    return int(queue.get("pollerCount", 0)) > 0


async def _failure(cloud: Cloud, row: NamespaceRow) -> str:
    """Why the operation that changes this namespace does not end well, if it said so."""
    if not row.operation_id:
        return ""
    answer = await cloud.get(f"/cloud/operations/{segment(row.operation_id)}")
    return str((answer.get("asyncOperation") or {}).get("failureReason", ""))
