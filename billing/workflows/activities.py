"""The steps of a closing as activities. Each may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from billing.closing import GRACE_HOURS, Closing
from billing.times import hour_of, month_name, month_of
from billing.workflows import close_month as steps
from billing.workflows.close_month import CloseAccount, CloseMonth, CloseMonths
from perdure import Client, activity
from perdure.exceptions import ApplicationError
from tenancy.randomness import Now
from tenancy.workflows.starting import ReadyClient, start_once

MONTHS_BACK = 3
"""So many are looked at, in case that the cloud was off when one ended."""

SCHEDULE = f"10 {GRACE_HOURS} 1 * *"
CLOSE_MONTHS_ID = "close-months"
WORKFLOWS = (CloseMonths, CloseMonth, CloseAccount)


class ClosingActivities:
    """`cell_ids` names the cells whose usage is invoiced; `client` starts workflows."""

    def __init__(
        self,
        closing: Closing,
        *,
        cell_ids: Sequence[str],
        client: ReadyClient,
        now: Now,
    ) -> None:
        self._closing = closing
        self._cell_ids = cell_ids
        self._client = client
        self._now = now

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        return (
            self.start_months,
            self.is_complete,
            self.start_accounts,
            self.are_ended,
            self.count_closed,
            self.snapshot,
            self.finalize,
            self.create_items,
            self.send,
        )

    @activity.defn(name=steps.START_MONTHS)
    async def start_months(self) -> list[str]:
        months = ended_months(self._now, MONTHS_BACK)
        for month in months:
            await start_closing(self._ready(), month)
        return months

    @activity.defn(name=steps.IS_COMPLETE)
    async def is_complete(self, month: str) -> bool:
        return await self._closing.is_complete(month, self._cell_ids)

    @activity.defn(name=steps.START_ACCOUNTS)
    async def start_accounts(self, month: str, after: str) -> list[str]:
        """One page of the accounts behind the id `after`, their closings started."""
        page = await self._closing.accounts(month, after)
        for account_id in page:
            id = f"{closing_id(month)}-{account_id}"
            await start_once(self._ready(), CloseAccount.run, account_id, month, id=id)
        return page

    @activity.defn(name=steps.ARE_ENDED)
    async def are_ended(self, month: str) -> bool:
        return await self._count(month, "Running") == 0

    @activity.defn(name=steps.COUNT_CLOSED)
    async def count_closed(self, month: str) -> int:
        """No account's closing completes twice."""
        return await self._count(month, "Completed")

    @activity.defn(name=steps.SNAPSHOT)
    async def snapshot(self, account_id: str, month: str) -> str:
        return await self._closing.snapshot(account_id, month)

    @activity.defn(name=steps.FINALIZE)
    async def finalize(self, invoice_id: str) -> None:
        await self._closing.finalize(invoice_id)

    @activity.defn(name=steps.CREATE_ITEMS)
    async def create_items(self, invoice_id: str) -> None:
        await self._closing.create_items(invoice_id)

    @activity.defn(name=steps.SEND)
    async def send(self, invoice_id: str) -> None:
        await self._closing.send(invoice_id)

    async def _count(self, month: str, status: str) -> int:
        return (await self._ready().count_workflows(count_query(month, status))).count

    def _ready(self) -> Client:
        client = self._client()
        if client is None:
            raise ApplicationError("the system cell does not answer now")
        return client


async def begin_closings(client: Client) -> None:
    """Has each month closed when it has ended, for ever."""
    await start_once(client, CloseMonths.run, id=CLOSE_MONTHS_ID, cron=SCHEDULE)


async def start_closing(client: Client, month: str) -> None:
    """Closes the month, unless it is closed or being closed."""
    await start_once(client, CloseMonth.run, month, id=closing_id(month))


def closing_id(month: str) -> str:
    return f"close-{month}"


def count_query(month: str, status: str) -> str:
    """A list filter for the accounts' closings of a month that are in that status."""
    return (
        f"WorkflowType = '{CloseAccount.__name__}' AND ExecutionStatus = '{status}'"
        f" AND WorkflowId STARTS_WITH '{closing_id(month)}-'"
    )


def ended_months(now: Now, count: int) -> list[str]:
    """The last months that are over, with their grace, as `2026-11`; the oldest first."""
    first_hour = month_of(hour_of(now() - timedelta(hours=GRACE_HOURS))).from_hour
    months: list[str] = []
    for _ in range(count):
        first_hour = month_of(first_hour - 1).from_hour
        months.append(month_name(first_hour))
    return months[::-1]
