"""A money transfer with compensation: what was withdrawn is refunded if the deposit cannot be made.

A crash between the two steps loses nothing: the workflow goes on where it was. The bank is asked
with the workflow's id as its reference, so an attempt that is repeated moves no money twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from examples.connection import connect
from perdure import Worker, activity, workflow
from perdure.exceptions import ActivityError, ApplicationError
from perdure.policies import RetryPolicy

Step = Callable[..., Awaitable[None]]

TASK_QUEUE = "money-transfer"
BANK_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True)
class Transfer:
    """From one account to another."""

    source: str
    target: str
    cents: int


@dataclass
class Bank:
    """Stands for a bank's API. Each booking has a reference, and is made once for each."""

    balances: dict[str, int]
    closed: set[str] = field(default_factory=set)
    bookings: dict[str, int] = field(default_factory=dict)

    @activity.defn
    async def withdraw(self, account: str, cents: int, reference: str) -> None:
        """Take the money from an account."""
        if self.balances[account] < cents:
            raise ApplicationError(f"{account} has too little", type="Funds", non_retryable=True)
        self._book(account, -cents, f"{reference}/withdraw")

    @activity.defn
    async def deposit(self, account: str, cents: int, reference: str) -> None:
        """Put the money into an account."""
        if account in self.closed:
            raise ApplicationError(f"{account} is closed", type="Closed", non_retryable=True)
        self._book(account, cents, f"{reference}/deposit")

    @activity.defn
    async def refund(self, account: str, cents: int, reference: str) -> None:
        """Give back what was withdrawn."""
        self._book(account, cents, f"{reference}/refund")

    def _book(self, account: str, cents: int, reference: str) -> None:
        if reference not in self.bookings:
            self.bookings[reference] = cents
            self.balances[account] += cents


@workflow.defn
class MoneyTransfer:
    """Withdraw, then deposit; refund if the deposit fails for good."""

    @workflow.run
    async def run(self, transfer: Transfer) -> str:
        """The reference of a transfer that was made; fails with the bank's reason otherwise."""
        reference = workflow.info().workflow_id
        await self._ask(Bank.withdraw, transfer.source, transfer.cents, reference)
        try:
            await self._ask(Bank.deposit, transfer.target, transfer.cents, reference)
        except ActivityError:
            await self._ask(Bank.refund, transfer.source, transfer.cents, reference)
            raise
        return reference

    async def _ask(
        self, step: Callable[..., Awaitable[None]], account: str, cents: int, reference: str
    ) -> None:
        await workflow.execute_activity(
            step,
            account,
            cents,
            reference,
            start_to_close_timeout=BANK_TIMEOUT,
            retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
        )


async def main() -> None:
    bank = Bank({"alice": 100_00, "bob": 0})
    async with (
        await connect() as client,
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[MoneyTransfer],
            activities=[bank.withdraw, bank.deposit, bank.refund],
        ),
    ):
        reference = await client.execute_workflow(
            MoneyTransfer.run,
            Transfer("alice", "bob", 25_00),
            id=f"transfer-{uuid4()}",
            task_queue=TASK_QUEUE,
        )
    print(f"{reference}: {bank.balances}")


if __name__ == "__main__":
    asyncio.run(main())
