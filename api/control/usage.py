"""What was used and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from api.control.desk import caller_of, desk_of
from billing import queries
from billing.prices import CURRENCY
from billing.queries import GroupBy, MonthToDate, SeriesPoint
from billing.times import HOURS_PER_DAY, hour_of, hour_start, month_of
from tenancy import Access, InvalidField, NamespaceRef, NotFound, Principal, permits

ROWS_PER_PAGE = 1_000
FIRST_YEAR = 2026
OTHERS = "all others"
SERIES_HOURS_MAX = 31 * HOURS_PER_DAY
HOUR_MIN = hour_of(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
HOUR_MAX = hour_of(datetime(2100, 1, 1, tzinfo=UTC))

router = APIRouter(tags=["Usage"])
Caller = Annotated[Principal, Depends(caller_of)]


class Share(BaseModel):
    """What one key counted and cost. `name` is the key for people to read."""

    key: str
    name: str
    actions: int
    cost: Decimal


class Cell(BaseModel):
    """What one Action counted and cost in one namespace."""

    namespace_id: str
    namespace: str
    action: str
    actions: int
    cost: Decimal


class Line(BaseModel):
    """A line of the invoice if the month ended now."""

    text: str
    quantity: int | None
    per_million: Decimal | None
    amount: Decimal


class Cost(BaseModel):
    """A month so far. The shares of each grouping add up to the same sum, and so do the cells."""

    account_id: str
    period_start: datetime
    as_of: datetime
    currency: str
    actions: int
    lines: list[Line]
    total: Decimal
    by_namespace_and_action: list[Cell]
    by_namespace: list[Share]
    by_action: list[Share]
    by_workflow_type: list[Share]
    by_day: list[Share]


class Point(BaseModel):
    """What one key counted and cost in one hour. `hour` is hours since 1970-01-01T00:00Z.

    `key` is null for all together that are not among the largest.
    """

    hour: int
    key: str | None
    name: str
    actions: int
    cost: Decimal


class Series(BaseModel):
    """The hours that have usage, ascending; costs are shares of what their month cost so far."""

    currency: str
    points: list[Point]


class UsageRow(BaseModel):
    """Actions of one hour. `hour` is hours since 1970-01-01T00:00Z."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    action: str
    workflow_type: str
    task_queue: str
    hour: int
    count: int


class Usage(BaseModel):
    """One page; `nextPageToken` is empty on the last one."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    usage: list[UsageRow]
    next_page_token: str


@router.get("/api/v1/usage/cost")
async def cost(
    request: Request,
    caller: Caller,
    month: Annotated[
        str | None,
        Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])$", description="As 2026-01; this one if left out."),
    ] = None,
) -> Cost:
    """The cost of a calendar month by namespace, Action, workflow type and day."""
    desk = desk_of(request)
    await desk.control.require(caller, Access.USAGE, "usage.cost")
    as_of = _as_of(month, desk.now())
    async with desk.database.reading() as session:
        told = await queries.month_to_date(session, caller.account_id, as_of)
        names = await desk.control.namespaces.names(session, caller, with_deleted=True)
    return _cost(told, names)


@router.get("/api/v1/usage/series", response_model=Series)
async def series(
    request: Request,
    caller: Caller,
    *,
    from_hour: Annotated[int, Query(alias="from", ge=HOUR_MIN, le=HOUR_MAX)],
    to_hour: Annotated[
        int, Query(alias="to", ge=HOUR_MIN, le=HOUR_MAX, description="The hour behind the last.")
    ],
    group_by: Annotated[GroupBy, Query()] = GroupBy.NAMESPACE,
) -> Response:
    """Usage and cost hour by hour, by namespace, Action, workflow type or task queue.

    The 20 keys with the most Actions are told one by one, all others as one.
    """
    desk = desk_of(request)
    await desk.control.require(caller, Access.USAGE, "usage.series")
    if not 0 <= to_hour - from_hour <= SERIES_HOURS_MAX:
        raise InvalidField(
            "to", f"must be 0 to {SERIES_HOURS_MAX} hours behind from", "ask for less at once"
        )
    async with desk.database.reading() as session:
        told = await queries.usage_series(session, caller.account_id, from_hour, to_hour, group_by)
        namespaces = desk.control.namespaces
        is_named = group_by is GroupBy.NAMESPACE
        names = await namespaces.names(session, caller, with_deleted=True) if is_named else {}
    # As many points as a month has hours, times the keys: not while other calls wait.
    body = await asyncio.to_thread(_series_json, told, names)
    return Response(body, media_type="application/json")


@router.get("/api/v1/usage")
async def usage(
    request: Request,
    caller: Caller,
    *,
    namespace: Annotated[str, Query(description="As `<name>.<account id>`.")],
    from_hour: Annotated[int | None, Query(alias="from", ge=0, le=2**31)] = None,
    to_hour: Annotated[int | None, Query(alias="to", ge=0, le=2**31)] = None,
    next_page_token: Annotated[
        str, Query(alias="nextPageToken", pattern=r"^\d{0,9}$", description="Of the last answer.")
    ] = "",
) -> Usage:
    """The ledger of one namespace, as it was counted, from one hour to before another."""
    desk = desk_of(request)
    ref = desk.control.snapshot.resolve(namespace)
    _check_reader(caller, ref)
    async with desk.database.reading() as session:
        rows = await queries.namespace_usage(session, ref.id, from_hour, to_hour)
    start = int(next_page_token or 0)
    end = start + ROWS_PER_PAGE
    return Usage(
        usage=[
            UsageRow(
                action=row.action,
                workflow_type=row.workflow_type,
                task_queue=row.task_queue,
                hour=row.hour,
                count=row.count,
            )
            for row in rows[start:end]
        ],
        next_page_token=str(end) if end < len(rows) else "",
    )


def _check_reader(caller: Principal, ref: NamespaceRef) -> None:
    """A namespace that the caller may know nothing of does not exist for it."""
    is_ours = ref.account_id == caller.account_id
    if not permits(caller, Access.READ, ref) and not (
        is_ours and permits(caller, Access.USAGE, None)
    ):
        raise NotFound("namespace", ref.full_name)


def _as_of(month: str | None, now: datetime) -> datetime:
    """Now, or the end of an earlier month."""
    if month is None:
        return now
    first = now.replace(
        year=int(month[:4]), month=int(month[5:]), day=1, hour=0, minute=0, second=0, microsecond=0
    )
    if first > now or first.year < FIRST_YEAR:
        raise InvalidField(
            "month", f"must be from {FIRST_YEAR}-01 to this month", "leave it out for this month"
        )
    end = hour_start(month_of(hour_of(first)).to_hour)
    return min(now, end - timedelta(microseconds=1))


def _cost(told: MonthToDate, names: Mapping[str, str]) -> Cost:
    return Cost(
        account_id=told.account_id,
        period_start=told.period_start,
        as_of=told.as_of,
        currency=told.currency,
        actions=told.actions,
        lines=[
            Line(
                text=line.text,
                quantity=line.quantity,
                per_million=line.per_million,
                amount=line.amount,
            )
            for line in told.lines
        ],
        total=told.total,
        by_namespace_and_action=[
            Cell(
                namespace_id=cell.namespace_id,
                namespace=names.get(cell.namespace_id, cell.namespace_id),
                action=cell.action,
                actions=cell.actions,
                cost=cell.cost,
            )
            for cell in told.cells
        ],
        by_namespace=_shares(told.by_namespace, names),
        by_action=_shares(told.by_action),
        by_workflow_type=_shares(told.by_workflow_type),
        by_day=_shares(told.by_day),
    )


def _series_json(told: Iterable[SeriesPoint], names: Mapping[str, str]) -> bytes:
    points = [
        Point(
            hour=point.hour,
            key=point.key,
            name=OTHERS if point.key is None else names.get(point.key, point.key),
            actions=point.actions,
            cost=point.cost,
        )
        for point in told
    ]
    return Series(currency=CURRENCY, points=points).model_dump_json().encode()


def _shares(told: tuple[queries.Share, ...], names: Mapping[str, str] | None = None) -> list[Share]:
    return [
        Share(
            key=share.key,
            name=(names or {}).get(share.key, share.key),
            actions=share.actions,
            cost=share.cost,
        )
        for share in told
    ]
