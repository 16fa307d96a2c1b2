"""What the account used and what it costs, month by month."""

from __future__ import annotations

import re
from datetime import date, timedelta

from starlette.responses import Response

from web.chart import month_chart
from web.cloud import Answer
from web.errors import NoSuchPage
from web.formats import now, read_time
from web.visit import Visit

_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")


async def show(visit: Visit) -> Response:
    month = _month(visit.query("month"))
    cost = await visit.cloud.get("/api/v1/usage/cost", month=f"{month:%Y-%m}")
    by_day = {share["key"]: int(share["actions"]) for share in cost.get("by_day") or []}
    this_month = now().date().replace(day=1)
    return visit.page(
        "usage.html",
        month=month,
        is_this_month=month == this_month,
        previous=(month - timedelta(days=1)).replace(day=1),
        following=(month + timedelta(days=31)).replace(day=1),
        as_of=read_time(cost.get("as_of")),
        actions=int(cost.get("actions", 0)),
        total=cost.get("total", 0),
        currency=cost.get("currency", ""),
        lines=cost.get("lines") or [],
        days=[share for share in cost.get("by_day") or []],
        groups=_groups(cost),
        chart=month_chart(month, by_day),
    )


def _groups(cost: Answer) -> list[tuple[str, list[Answer]]]:
    return [
        ("Namespace", cost.get("by_namespace") or []),
        ("Action", cost.get("by_action") or []),
        ("Workflow type", cost.get("by_workflow_type") or []),
    ]


def _month(text: str) -> date:
    if not text:
        return now().date().replace(day=1)
    match = _MONTH.fullmatch(text)
    if match is None:
        raise NoSuchPage
    return date(int(match[1]), int(match[2]), 1)
