"""GetUsage."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from temporalio.api.cloud.cloudservice.v1 import GetUsageRequest, GetUsageResponse
from temporalio.api.cloud.usage.v1 import (
    GroupBy,
    GroupByKey,
    Record,
    RecordGroup,
    RecordType,
    RecordUnit,
    Summary,
)

from api.cloud.fields import page, time_of, timestamp
from api.cloud.services import Services
from billing import queries
from billing.times import HOURS_PER_DAY, hour_of, hour_start
from tenancy import InvalidField, Principal

DAYS_BACK_MAX = 90
DAY = timedelta(days=1)


async def get_usage(
    services: Services, request: GetUsageRequest, caller: Principal
) -> GetUsageResponse:
    """Actions by UTC day and namespace, of this month unless another time is asked for."""
    now = services.now()
    start, end = _days(request, now)
    async with services.database.reading() as session:
        told = await queries.actions_by_day(
            session, caller.account_id, hour_of(start), hour_of(end)
        )
        names = await services.control.namespaces.names(session, caller, with_deleted=True)
    days: dict[int, Counter[str]] = {}
    for (day, namespace_id), actions in told.items():
        days.setdefault(day, Counter())[names.get(namespace_id, namespace_id)] += actions
    summaries = [_summary(day, counts, now) for day, counts in days.items()]
    shown, next_page_token = page(
        services,
        caller,
        request,
        summaries,
        lambda summary: f"{summary.start_time.seconds:012d}",
    )
    return GetUsageResponse(summaries=shown, next_page_token=next_page_token)


def _days(request: GetUsageRequest, now: datetime) -> tuple[datetime, datetime]:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = today.replace(day=1), today + DAY
    if request.HasField("start_time_inclusive"):
        start = time_of(request.start_time_inclusive, "start_time_inclusive")
    if request.HasField("end_time_exclusive"):
        end = time_of(request.end_time_exclusive, "end_time_exclusive")
    for field, at in (("start_time_inclusive", start), ("end_time_exclusive", end)):
        if at != at.replace(hour=0, minute=0, second=0, microsecond=0):
            raise InvalidField(field, "must be the start of a UTC day", "cut the time of day")
    if start < today - DAYS_BACK_MAX * DAY:
        raise InvalidField(
            "start_time_inclusive",
            f"must be at most {DAYS_BACK_MAX} days ago",
            "ask for a later start",
        )
    if not start < end <= start + (DAYS_BACK_MAX + 1) * DAY:
        raise InvalidField(
            "end_time_exclusive",
            f"must be after the start and at most {DAYS_BACK_MAX + 1} days behind it",
            "ask for a shorter time",
        )
    return start, end


def _summary(day: int, counts: Counter[str], now: datetime) -> Summary:
    start = hour_start(day * HOURS_PER_DAY)
    return Summary(
        start_time=timestamp(start),
        end_time=timestamp(start + DAY),
        record_groups=[
            RecordGroup(
                group_bys=[GroupBy(key=GroupByKey.GROUP_BY_KEY_NAMESPACE, value=name)],
                records=[
                    Record(
                        type=RecordType.RECORD_TYPE_ACTIONS,
                        unit=RecordUnit.RECORD_UNIT_NUMBER,
                        value=count,
                    )
                ],
            )
            for name, count in sorted(counts.items())
        ],
        incomplete=now < start + DAY,
    )
