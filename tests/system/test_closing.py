"""A month is closed once, wherever the process dies that closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from api.system.system import Work
from billing.closing import Closing
from billing.tables import InvoiceState, UsageCursor
from billing.times import month_name, month_named
from billing.workflows import close_month
from billing.workflows.activities import (
    CLOSE_MONTHS_ID,
    WORKFLOWS,
    ClosingActivities,
    begin_closings,
    closing_id,
    ended_months,
    start_closing,
)
from perdure import Client
from perdure.client import WorkflowExecutionStatus
from perdure.exceptions import WorkflowFailureError
from tenancy import Passwords
from tests.billing.payments import CELL, MONTH, Payments, after, open_payments
from tests.system.mortal import DYING, Fate, Life, Machine, MortalDatabase

FAR_HOUR = 10_000_000
STEP_COUNT_MIN = 14
"""Asking for usage, for accounts until there are no more, and an invoice's four steps: each before
and after."""

MOMENT_COUNT_MIN = 80
ACTIONS = 3_000_000
TOTAL_CENTS = 16_500

pytestmark = pytest.mark.parametrize("control_url", ["sqlite"], indirect=True)


@pytest.fixture
async def payments(
    control_url: str, tmp_path: Path, passwords: Passwords
) -> AsyncIterator[Payments]:
    """With all usage collected."""
    async with open_payments(control_url, tmp_path, passwords) as payments:
        async with payments.database.transaction() as session:
            session.add(UsageCursor(cell_id=CELL, position=1, complete_hour=FAR_HOUR))
        yield payments


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workflows look again almost at once."""
    monkeypatch.setattr(close_month, "LOOK_AGAIN_SECONDS_MIN", 0.02)


class MortalClosing:
    """The steps, before and after each of which the process may die."""

    def __init__(self, closing: Closing, fate: Fate) -> None:
        self._closing = closing
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._closing, name)

        async def mortal(*values: Any) -> Any:
            await self._fate.moment()
            result = await step(*values)
            await self._fate.moment()
            return result

        return mortal


class MortalWire(httpx.AsyncBaseTransport):
    """A request may never leave, or be answered when nobody hears it."""

    def __init__(self, wire: httpx.AsyncBaseTransport, fate: Fate) -> None:
        self._wire = wire
        self._fate = fate

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._fate.moment()
        answer = await self._wire.handle_async_request(request)
        await answer.aread()
        await self._fate.moment()
        return answer


def work(payments: Payments, closing: Closing, lives: list[Life]) -> Work:
    """What the process does that is the last of `lives` as soon as it lives."""

    def client() -> Client | None:
        return lives[-1].system.client() if lives else None

    now = payments.cloud.clock.now
    return Work(WORKFLOWS, ClosingActivities(closing, cell_ids=(CELL,), client=client, now=now).all)


async def closed(life: Life, month: str) -> int:
    """Asks for it, whoever asked before, and waits for its end."""
    client = await life.client()
    assert client is not None
    await start_closing(client, month)
    count: int = await client.get_workflow_handle(closing_id(month)).result()
    return count


async def worked(
    payments: Payments, closing: Closing, machine: Machine, month: str, *fates: Fate
) -> bool:
    """One process's life; True if it lived to see the month closed. A fate given is the store's."""
    lives: list[Life] = []
    fate = fates[0] if fates else Fate()
    async with machine.process(work(payments, closing, lives), fate) as life:
        lives.append(life)
        working = asyncio.create_task(closed(life, month))
        dying = asyncio.create_task(fate.died.wait())
        await asyncio.wait({working, dying}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        assert await working == 1
        return True


async def closed_once(payments: Payments, account_id: str, month: str, number: int) -> None:
    """One invoice of ours, one of Stripe's, each line on it once, and one payment."""
    await payments.hear()
    found = {month_name(each.from_hour): each for each in await payments.invoices(account_id)}
    invoice = found[month]
    assert len(found) == number == invoice.number
    assert (invoice.state, invoice.total_cents) == (InvoiceState.PAID, TOTAL_CENTS)
    store = payments.stand_in.store
    there = store.all("invoice")
    assert [each["status"] for each in there] == ["paid"] * number
    items = sorted(each["amount"] for each in store.all("invoiceitem"))
    assert items == [*[1_500] * number, *[15_000] * number]


def month_after(count: int) -> str:
    hour = month_named(MONTH).from_hour
    for _ in range(count):
        hour = month_named(month_name(hour)).to_hour
    return month_name(hour)


async def opened(payments: Payments, account_id: str, number: int) -> str:
    """A month that is over, with usage."""
    month = month_after(number - 1)
    payments.cloud.clock.at = after(month)
    await payments.use(account_id, ACTIONS, month=month)
    return month


@pytest.mark.ci
@pytest.mark.allow_log(*DYING)
async def test_a_month_is_closed_once_whichever_step_its_process_dies_at(
    payments: Payments, tmp_path: Path
) -> None:
    """One month for each moment; the process of the last one lives to its end."""
    account_id = (await payments.owner_with_card()).account_id
    number, has_lived = 0, False
    while not has_lived:
        number += 1
        month = await opened(payments, account_id, number)
        fate, machine = Fate(number), Machine(tmp_path)
        closing = cast(Closing, MortalClosing(payments.closing, fate))
        has_lived = await worked(payments, closing, machine, month, _store_of(fate))
        if not has_lived:
            assert await worked(payments, payments.closing, machine, month), f"moment {number}"
        await closed_once(payments, account_id, month, number)
    assert number > STEP_COUNT_MIN


def _store_of(fate: Fate) -> Fate:
    """Of a process that dies with that fate, but whose commits are no moments of it."""
    store = Fate()
    store.died = fate.died
    return store


@pytest.mark.deep
@pytest.mark.allow_log(*DYING)
async def test_a_month_is_closed_once_whichever_commit_or_request_its_process_dies_at(
    payments: Payments, tmp_path: Path
) -> None:
    account_id = (await payments.owner_with_card()).account_id
    number, has_lived = 0, False
    while not has_lived:
        number += 1
        month = await opened(payments, account_id, number)
        fate, machine = Fate(number), Machine(tmp_path)
        database = MortalDatabase(payments.cloud.url, fate)
        wire = MortalWire(payments.wire, fate)
        dying = Payments(payments.cloud, payments.stand_in, wire, database)
        has_lived = await worked(payments, dying.closing, machine, month, fate)
        await dying.connection.aclose()
        await database.aclose()
        if not has_lived:
            assert await worked(payments, payments.closing, machine, month), f"moment {number}"
        await closed_once(payments, account_id, month, number)
    assert number > MOMENT_COUNT_MIN


async def test_a_month_waits_for_its_usage_and_goes_on_by_a_durable_timer(
    payments: Payments, machine: Machine
) -> None:
    account_id = (await payments.owner_with_card()).account_id
    month = await opened(payments, account_id, 1)
    async with payments.database.transaction() as session:
        (await session.get_one(UsageCursor, CELL)).complete_hour = 0
    lives: list[Life] = []
    async with machine.process(work(payments, payments.closing, lives)) as life:
        lives.append(life)
        client = await life.client()
        assert client is not None
        await start_closing(client, month)
        handle = client.get_workflow_handle(closing_id(month))
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event["eventType"] == "EVENT_TYPE_TIMER_STARTED":
                break
    assert await payments.invoices(account_id) == []
    async with payments.database.transaction() as session:
        (await session.get_one(UsageCursor, CELL)).complete_hour = FAR_HOUR
    assert await worked(payments, payments.closing, machine, month)
    await closed_once(payments, account_id, month, 1)


async def test_each_account_has_a_workflow_and_a_second_request_changes_nothing(
    payments: Payments, machine: Machine
) -> None:
    accounts = sorted([await payments.account() for _ in range(3)])
    payments.cloud.clock.at = after(MONTH)
    lives: list[Life] = []
    async with machine.process(work(payments, payments.closing, lives)) as life:
        lives.append(life)
        client = await life.client()
        assert client is not None
        for _ in range(2):
            assert await closed(life, MONTH) == len(accounts)
        ids = sorted([run.id async for run in client.list_workflows()])
    assert ids == [closing_id(MONTH), *(f"{closing_id(MONTH)}-{id}" for id in accounts)]
    numbers = [invoice.number for id in accounts for invoice in await payments.invoices(id)]
    assert sorted(map(int, filter(None, numbers))) == [1, 2, 3]


async def test_a_month_with_an_account_that_was_not_closed_fails_and_can_be_closed_again(
    payments: Payments, machine: Machine
) -> None:
    account_id = await payments.account()
    payments.cloud.clock.at = after(MONTH)
    gate, entered = asyncio.Event(), asyncio.Event()
    snapshot = payments.closing.snapshot

    async def waiting(account_id: str, month: str) -> str:
        entered.set()
        await gate.wait()
        return await snapshot(account_id, month)

    payments.closing.snapshot = waiting  # type: ignore[method-assign]
    lives: list[Life] = []
    async with machine.process(work(payments, payments.closing, lives)) as life:
        lives.append(life)
        client = await life.client()
        assert client is not None
        await start_closing(client, MONTH)
        await entered.wait()
        await client.get_workflow_handle(f"{closing_id(MONTH)}-{account_id}").terminate()
        with pytest.raises(WorkflowFailureError, match="1 of 1 accounts were not closed"):
            await client.get_workflow_handle(closing_id(MONTH)).result()
        gate.set()
        assert await closed(life, MONTH) == 1
    assert len(await payments.invoices(account_id)) == 1


async def test_months_are_closed_by_a_schedule_that_is_begun_once(
    payments: Payments, machine: Machine
) -> None:
    lives: list[Life] = []
    async with machine.process(work(payments, payments.closing, lives)) as life:
        lives.append(life)
        client = await life.client()
        assert client is not None
        for _ in range(2):
            await begin_closings(client)
        (run,) = [run async for run in client.list_workflows()]
        assert (run.id, run.status) == (CLOSE_MONTHS_ID, WorkflowExecutionStatus.RUNNING)
        (started,) = [
            event["workflowExecutionStartedEventAttributes"]
            for event in (await client.get_workflow_handle(run.id).fetch_history()).events
            if event["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"
        ]
    assert started["cronSchedule"] == "10 2 1 * *"


async def test_the_schedule_closes_the_last_months_that_are_over(
    payments: Payments, machine: Machine
) -> None:
    await payments.account()
    payments.cloud.clock.at = after(MONTH)
    lives: list[Life] = []
    async with machine.process(work(payments, payments.closing, lives)) as life:
        lives.append(life)
        client = await life.client()
        assert client is not None
        months = await client.execute_workflow(
            WORKFLOWS[0], id="close-months-now", task_queue="control-plane"
        )
        assert months == ["2026-01", "2026-02", MONTH]
        counts = [await client.get_workflow_handle(closing_id(it)).result() for it in months]
    # The account is from March.
    assert counts == [0, 0, 1]


async def test_a_month_is_over_with_its_grace(payments: Payments) -> None:
    def months(at: datetime) -> list[str]:
        return ended_months(lambda: at, 2)

    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    assert months(new_year + timedelta(hours=1, minutes=59)) == ["2026-10", "2026-11"]
    assert months(new_year + timedelta(hours=2)) == ["2026-11", "2026-12"]
