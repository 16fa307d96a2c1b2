"""Money is moved once, or not at all."""

from __future__ import annotations

import pytest

from examples.money_transfer import TASK_QUEUE, Bank, MoneyTransfer, Transfer
from perdure import Worker
from perdure.exceptions import ActivityError, ApplicationError, WorkflowFailureError
from tests.examples.cloud import Cloud

pytestmark = pytest.mark.anyio


async def transfer(cloud: Cloud, bank: Bank, order: Transfer) -> str:
    async with (
        await cloud.connect() as client,
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[MoneyTransfer],
            activities=[bank.withdraw, bank.deposit, bank.refund],
        ),
    ):
        reference: str = await client.execute_workflow(
            MoneyTransfer.run, order, id="transfer-1", task_queue=TASK_QUEUE
        )
        return reference


async def test_a_transfer_moves_money(cloud: Cloud) -> None:
    bank = Bank({"alice": 100, "bob": 0})
    assert await transfer(cloud, bank, Transfer("alice", "bob", 60)) == "transfer-1"
    assert bank.balances == {"alice": 40, "bob": 60}


@pytest.mark.allow_log("activity_failed")
async def test_a_deposit_that_fails_for_good_is_refunded(cloud: Cloud) -> None:
    bank = Bank({"alice": 100, "bob": 0}, closed={"bob"})
    with pytest.raises(WorkflowFailureError) as caught:
        await transfer(cloud, bank, Transfer("alice", "bob", 60))
    assert bank.balances == {"alice": 100, "bob": 0}
    assert list(bank.bookings.values()) == [-60, 60]
    failure = caught.value.cause
    assert isinstance(failure, ActivityError)
    assert isinstance(failure.cause, ApplicationError)
    assert failure.cause.type == "Closed"


@pytest.mark.allow_log("activity_failed")
async def test_nothing_moves_without_funds(cloud: Cloud) -> None:
    bank = Bank({"alice": 10, "bob": 0})
    with pytest.raises(WorkflowFailureError):
        await transfer(cloud, bank, Transfer("alice", "bob", 60))
    assert bank.bookings == {}
