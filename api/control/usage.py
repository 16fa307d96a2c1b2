"""What was used and what it costs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from api.control.desk import caller_of, desk_of
from billing import queries
from billing.prices import CURRENCY
from billing.queries import GroupBy, MonthToDate, Position, SeriesPoint
from billing.rating import Line
from billing.times import HOURS_PER_DAY, hour_of, hour_start, month_of
from tenancy import Access, InvalidField, NamespaceRef, NotFound, Principal, permits

ROWS_PER_PAGE = 1_000
FIRST_YEAR = 2026
OTHERS = "all others"
SERIES_HOURS_MAX = 31 * HOURS_PER_DAY
HOUR_MIN = hour_of(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC))
HOUR_MAX = hour_of(datetime(2100, 1, 1, tzinfo=UTC))

TOKEN_CHARACTERS_MAX = 20_000
"""As long as the longest names of workflow types and task queues make one."""

Names = Mapping[str, str]
T = TypeVar("T")

router = APIRouter(tags=["Usage"])
Caller = Annotated[Principal, Depends(caller_of)]


class Share(BaseModel):
    """What one key counted and cost. `name` is the key for people to read.

    `key` is null for all together that are not among the largest.
    """

    key: str | None
    name: str
    actions: int
    cost: Decimal


class Cell(BaseModel):
    """What one Action counted and cost in one namespace.

    `namespace_id` is null for all namespaces together that are not among the largest.
    """

    namespace_id: str | None
    namespace: str
    action: str
    actions: int
    cost: Decimal


class Cost(BaseModel):
    """A month so far. The shares of each grouping add up to the same sum, and so do the cells.

    `lines` are those of the invoice if the month ended now.
    """

    account_id: str
    period_start: datetime
    as_of: datetime
    currency: str
    actions: int
    lines: tuple[Line, ...]
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

    model_config = ConfigDict(from_attributes=True)
    action: str
    workflow_type: str
    task_queue: str
    hour: int
    count: int


class Usage(BaseModel):
    """One page; `next_page_token` is empty on the last one."""

    usage: list[UsageRow]
    next_page_token: str


@router.get("/api/v1/usage/cost", response_model=Cost)
async def cost(
    request: Request,
    caller: Caller,
    month: Annotated[
        str | None,
        Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])$", description="As 2026-01; this one if left out."),
    ] = None,
) -> Response:
    """The cost of a calendar month by namespace, Action, workflow type and day.

    The 100 namespaces and workflow types with the most Actions are told one by one, all others as
    one.
    """
    desk = desk_of(request)
    await desk.control.require(caller, Access.USAGE, "usage.cost")
    as_of = _as_of(month, desk.now())
    async with desk.database.reading() as session:
        told = await queries.month_to_date(session, caller.account_id, as_of)
        names = await desk.control.namespaces.names(session, caller, with_deleted=True)
    return await _answer(_cost, told, names)


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
    return await _answer(_series, told, names)


@router.get("/api/v1/usage")
async def usage(
    request: Request,
    caller: Caller,
    *,
    namespace: Annotated[str, Query(description="As `<name>.<account id>`.")],
    from_hour: Annotated[int | None, Query(alias="from", ge=0, le=2**31)] = None,
    to_hour: Annotated[int | None, Query(alias="to", ge=0, le=2**31)] = None,
    next_page_token: Annotated[
        str, Query(max_length=TOKEN_CHARACTERS_MAX, description="Of the last answer.")
    ] = "",
) -> Usage:
    """The ledger of one namespace, as it was counted, from one hour to before another."""
    desk = desk_of(request)
    ref = desk.control.snapshot.resolve(namespace)
    _check_reader(caller, ref)
    tokens = desk.control.page_tokens.of(caller.account_id, f"usage {ref.id}")
    place = tokens.open(next_page_token, "next_page_token")
    async with desk.database.reading() as session:
        rows = await queries.namespace_usage(
            session,
            ref.id,
            from_hour,
            to_hour,
            after=None if place is None else _position(place),
            limit=ROWS_PER_PAGE + 1,
        )
    page = rows[:ROWS_PER_PAGE]
    return Usage(
        usage=[UsageRow.model_validate(row) for row in page],
        next_page_token=tokens.seal(json.dumps(page[-1].position)) if len(rows) > len(page) else "",
    )


def _position(place: str) -> Position:
    hour, action, workflow_type, task_queue = json.loads(place)
    return hour, action, workflow_type, task_queue


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


async def _answer(make: Callable[[T, Names], BaseModel], told: T, names: Names) -> Response:
    """Thousands of points or cells take a while: not while other calls wait."""
    body = await asyncio.to_thread(lambda: make(told, names).model_dump_json().encode())
    return Response(body, media_type="application/json")


def _name(key: str | None, names: Names) -> str:
    return OTHERS if key is None else names.get(key, key)


def _cost(told: MonthToDate, names: Names) -> Cost:
    cells = [
        Cell(
            namespace_id=cell.namespace_id,
            namespace=_name(cell.namespace_id, names),
            action=cell.action,
            actions=cell.actions,
            cost=cell.cost,
        )
        for cell in told.cells
    ]
    return Cost(
        account_id=told.account_id,
        period_start=told.period_start,
        as_of=told.as_of,
        currency=told.currency,
        actions=told.actions,
        lines=told.lines,
        total=told.total,
        by_namespace_and_action=cells,
        by_namespace=_shares(told.by_namespace, names),
        by_action=_shares(told.by_action, {}),
        by_workflow_type=_shares(told.by_workflow_type, {}),
        by_day=_shares(told.by_day, {}),
    )


def _shares(told: Iterable[queries.Share], names: Names) -> list[Share]:
    return [
        Share(key=it.key, name=_name(it.key, names), actions=it.actions, cost=it.cost)
        for it in told
    ]


def _series(told: Iterable[SeriesPoint], names: Names) -> Series:
    points = [
        Point(
            hour=it.hour,
            key=it.key,
            name=_name(it.key, names),
            actions=it.actions,
            cost=it.cost,
        )
        for it in told
    ]
    return Series(currency=CURRENCY, points=points)
