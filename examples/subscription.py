"""A subscription: sleep 30 days, charge, send an e-mail; again and again, until it is cancelled.

There is no cron job and no table of due dates. A year of history is short, and each year continues
as a new run with nothing but the count.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from examples.connection import connect
from perdure import Worker, activity, workflow

TASK_QUEUE = "subscription"
PERIOD = timedelta(days=30)
PERIODS_PER_RUN = 12
OFFICE_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True)
class Plan:
    """Who pays how much, how often; `charged` counts the periods paid."""

    customer: str
    cents: int
    period_seconds: float = PERIOD.total_seconds()
    charged: int = 0


@dataclass
class Office:
    """Stands for a payment service and a mail server."""

    payments: dict[str, int] = field(default_factory=dict)
    mails: list[str] = field(default_factory=list)

    @activity.defn
    async def charge(self, customer: str, cents: int, reference: str) -> None:
        """Charge once for each reference."""
        self.payments.setdefault(reference, cents)

    @activity.defn
    async def send_mail(self, customer: str, text: str) -> None:
        """Send an e-mail."""
        self.mails.append(f"to {customer}: {text}")


@workflow.defn
class Subscription:
    """Runs as long as the customer stays."""

    def __init__(self) -> None:
        self._is_cancelled = False
        self._charged = 0

    @workflow.run
    async def run(self, plan: Plan) -> int:
        """How many periods were paid when the customer left."""
        self._charged = plan.charged
        for _ in range(PERIODS_PER_RUN):
            if await self._cancelled_within(timedelta(seconds=plan.period_seconds)):
                await self._mail(plan, "we are sorry to see you go")
                return self._charged
            await self._charge(plan)
        workflow.continue_as_new(
            Plan(plan.customer, plan.cents, plan.period_seconds, self._charged)
        )

    @workflow.signal
    def cancel_subscription(self) -> None:
        """The customer leaves; the current period is not charged."""
        self._is_cancelled = True

    @workflow.query
    def periods_charged(self) -> int:
        return self._charged

    async def _cancelled_within(self, period: timedelta) -> bool:
        """Sleep, unless the customer leaves meanwhile."""
        try:
            await workflow.wait_condition(lambda: self._is_cancelled, timeout=period)
        except TimeoutError:
            return False
        return True

    async def _charge(self, plan: Plan) -> None:
        number = self._charged + 1
        reference = f"{workflow.info().workflow_id}/{number}"
        await workflow.execute_activity(
            Office.charge,
            plan.customer,
            plan.cents,
            reference,
            start_to_close_timeout=OFFICE_TIMEOUT,
        )
        self._charged = number
        await self._mail(plan, f"thank you for period {number}")

    async def _mail(self, plan: Plan, text: str) -> None:
        await workflow.execute_activity(
            Office.send_mail, plan.customer, text, start_to_close_timeout=OFFICE_TIMEOUT
        )


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.subscription")
    parser.add_argument("--period", type=float, default=2.0, help="seconds, instead of 30 days")
    period_seconds = parser.parse_args().period
    office = Office()
    async with (
        await connect() as client,
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[Subscription],
            activities=[office.charge, office.send_mail],
        ),
    ):
        handle = await client.start_workflow(
            Subscription.run,
            Plan("ada", 9_00, period_seconds),
            id=f"subscription-{uuid4()}",
            task_queue=TASK_QUEUE,
        )
        await asyncio.sleep(period_seconds * 2.5)
        await handle.signal(Subscription.cancel_subscription)
        print(f"{await handle.result()} periods paid", *office.mails, sep="\n  ")


if __name__ == "__main__":
    asyncio.run(main())
