"""A month's closing: wait for its usage, then one workflow for each account."""

from __future__ import annotations

from datetime import timedelta

from perdure import workflow
from perdure.exceptions import ApplicationError
from tenancy.workflows.step import step

START_MONTHS = "start_months"
IS_COMPLETE = "month_is_complete"
START_ACCOUNTS = "start_accounts"
ARE_ENDED = "are_accounts_ended"
COUNT_CLOSED = "count_closed_accounts"
SNAPSHOT = "snapshot_invoice"
FINALIZE = "finalize_invoice"
CREATE_ITEMS = "create_invoice_items"
SEND = "send_invoice"

LOOK_AGAIN_SECONDS_MIN = 0.5
LOOK_AGAIN_SECONDS_MAX = 600.0
"""Each time twice as long: usage may be a moment late, or a cell away for days."""

ATTEMPT_SECONDS_MAX = 120.0
RETRY_SECONDS_MAX = 600.0
"""Between attempts of what asks the payment service, which may be away for hours."""


@workflow.defn
class CloseMonths:
    """Runs by a cron schedule, some hours into each month."""

    @workflow.run
    async def run(self) -> list[str]:
        """The months whose closing goes on or is done."""
        months: list[str] = await step(START_MONTHS)
        return months


@workflow.defn
class CloseMonth:
    """Ends well when each account's closing has; otherwise it may be started again."""

    @workflow.run
    async def run(self, month: str) -> int:
        """How many accounts were closed."""
        await _until(IS_COMPLETE, month)
        count, after = 0, ""
        while page := await step(
            START_ACCOUNTS, month, after, attempt_seconds_max=ATTEMPT_SECONDS_MAX
        ):
            count, after = count + len(page), page[-1]
        await _until(ARE_ENDED, month)
        closed: int = await step(COUNT_CLOSED, month)
        if closed < count:
            raise ApplicationError(f"{count - closed} of {count} accounts were not closed")
        return closed


async def _until(name: str, month: str) -> None:
    seconds = LOOK_AGAIN_SECONDS_MIN
    while not await step(name, month):
        await workflow.sleep(timedelta(seconds=seconds))
        seconds = min(2 * seconds, LOOK_AGAIN_SECONDS_MAX)


@workflow.defn
class CloseAccount:
    """One account's invoice of a month, made, numbered and delivered once."""

    @workflow.run
    async def run(self, account_id: str, month: str) -> str:
        """The invoice's id."""
        invoice_id: str = await step(SNAPSHOT, account_id, month)
        for name in (FINALIZE, CREATE_ITEMS, SEND):
            await step(
                name,
                invoice_id,
                attempt_seconds_max=ATTEMPT_SECONDS_MAX,
                retry_seconds_max=RETRY_SECONDS_MAX,
            )
        return invoice_id
