"""Budgets on a simulated clock: what is told, what stops, and when it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from billing.budgets.budgets import (
    AMOUNT_MAX,
    BUDGETS_PER_ACCOUNT_MAX,
    THRESHOLD_PERCENT_MAX,
    THRESHOLDS_MAX,
)
from billing.budgets.tables import BUDGET_NAME_CHARACTERS_MAX
from billing.prices import Plan
from billing.queries import month_to_date
from billing.times import hour_of, hour_start
from tenancy import (
    AccountRole,
    AlreadyExists,
    Conflict,
    InvalidField,
    LimitReached,
    Namespace,
    NotFound,
    Passwords,
    PermissionDenied,
    RestrictionCause,
)
from tenancy.errors import AddressRefused
from tests.billing.budget_world import HOOK, World, open_world
from tests.billing.conftest import put_plan


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(token_bytes=Random(1).randbytes, memory_kib=8, passes=1)
    yield passwords
    passwords.close()


@pytest.fixture
async def world(control_url: str, tmp_path: Path, passwords: Passwords) -> AsyncIterator[World]:
    async with open_world(control_url, tmp_path, passwords) as world:
        yield world


async def test_a_threshold_is_told_once_though_it_is_looked_at_again(world: World) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    budget, _ = await world.create(owner, "10.00", ref)
    await world.spend(ref, "4.99")
    assert await world.keeper.look() == 0
    await world.spend(ref, "0.01")
    assert await world.keeper.look() == 1
    await world.spend(ref, "1.00")
    assert await world.keeper.look() == 0
    assert await world.told(owner, budget) == [50]
    assert await world.letters() == ["ada@example.com: Budget monthly: 50 % spent"]


async def test_the_next_month_tells_the_same_threshold_again(world: World) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    budget, _ = await world.create(owner, "1.00", ref, thresholds=(100,))
    world.cloud.clock.at = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
    await world.spend(ref, "1.00")
    assert await world.keeper.look() == 1
    world.cloud.clock.move(seconds=1)
    assert await world.keeper.look() == 0
    assert await world.told(owner, budget) == []
    await world.spend(ref, "1.00")
    assert await world.keeper.look() == 1
    assert len(await world.letters()) == 2


async def test_a_cap_stops_starts_and_the_end_of_the_month_lets_them_go(world: World) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    await world.create(owner, "1.00", ref, stops_starts=True)
    world.cloud.clock.at = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
    await world.spend(ref, "1.00")
    assert not await world.is_stopped(ref)
    await world.keeper.look()
    (restriction,) = await world.restrictions()
    assert restriction.cause is RestrictionCause.BUDGET
    assert restriction.why == (
        "budget 'monthly' of 1.00 USD for March 2026 is used up; raise it, take its cap off,"
        " or wait until 2026-04-01 00:00 UTC"
    )
    assert await world.is_stopped(ref)
    world.cloud.clock.move(minutes=29, seconds=59)
    await world.keeper.look()
    assert await world.is_stopped(ref)
    world.cloud.clock.move(seconds=1)
    await world.keeper.look()
    assert not await world.is_stopped(ref)


async def test_raising_a_budget_lets_starts_go_at_once_and_tells_its_thresholds_anew(
    world: World,
) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    budget, _ = await world.create(owner, "1.00", ref, stops_starts=True)
    await world.spend(ref, "1.00")
    await world.keeper.look()
    assert await world.told(owner, budget) == [50, 80, 100]
    await world.update(owner, budget, "2.00")
    assert not await world.is_stopped(ref)
    assert await world.told(owner, budget) == [50]
    await world.spend(ref, "1.00")
    await world.keeper.look()
    assert await world.is_stopped(ref)
    assert [letter.split()[-3] for letter in await world.letters()] == [
        *("50", "80", "100"),
        *("80", "100"),
    ]


@pytest.mark.parametrize("way", ["delete", "uncap"])
async def test_a_budget_that_is_gone_or_without_cap_stops_nothing(world: World, way: str) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    budget, _ = await world.create(owner, "1.00", ref, stops_starts=True, webhook_url=HOOK)
    await world.spend(ref, "1.00")
    await world.keeper.look()
    assert await world.is_stopped(ref)
    if way == "uncap":
        await world.update(owner, budget, "1.00", stops_starts=False)
    else:
        async with world.cloud.control.acting(owner) as session:
            await world.budgets.delete(session, owner, budget.id, resource_version=1)
    assert not await world.is_stopped(ref)
    assert await world.keeper.look() == 0


async def test_a_cap_on_one_namespace_leaves_the_others_alone(world: World) -> None:
    owner = await world.cloud.owner()
    orders, ships = await world.cloud.namespace(owner), await world.cloud.namespace(owner, "ships")
    await world.create(owner, "1.00", orders, stops_starts=True)
    await world.spend(ships, "50.00")
    await world.keeper.look()
    assert not await world.is_stopped(orders)
    await world.spend(orders, "1.00")
    await world.keeper.look()
    assert await world.is_stopped(orders)
    assert not await world.is_stopped(ships)


async def test_a_cap_on_the_account_counts_and_stops_all_namespaces_of_it_alone(
    world: World,
) -> None:
    ada, bob = await world.cloud.owner(), await world.cloud.owner("bob@example.com")
    orders, ships = await world.cloud.namespace(ada), await world.cloud.namespace(ada, "ships")
    foreign = await world.cloud.namespace(bob)
    await world.create(ada, "1.10", stops_starts=True)
    await world.spend(foreign, "100.00")
    await world.spend(orders, "0.50")
    await world.keeper.look()
    assert not await world.is_stopped(orders)
    await world.spend(ships, "0.50")
    await world.keeper.look()
    assert await world.is_stopped(orders)
    assert await world.is_stopped(ships)
    assert not await world.is_stopped(foreign)


async def test_what_is_spent_is_what_the_usage_page_shows(world: World) -> None:
    owner = await world.cloud.owner()
    orders, ships = await world.cloud.namespace(owner), await world.cloud.namespace(owner, "ships")
    of_all, _ = await world.create(owner, "100.00")
    of_orders, _ = await world.create(owner, "100.00", orders)
    await world.spend(orders, "1.2345")
    world.cloud.clock.move(hours=30)
    await world.spend(ships, "3.21")
    await world.spend(orders, "0.17")
    async with world.cloud.database.reading() as session:
        month = await month_to_date(session, owner.account_id, world.cloud.clock.now())
    (shown,) = (share.cost for share in month.by_namespace if share.key == orders.id)
    assert (await world.view(owner, of_all)).standing.spent == month.total
    assert (await world.view(owner, of_orders)).standing.spent == shown


async def test_a_budget_is_spent_by_the_plan_of_the_month(world: World) -> None:
    owner = await world.cloud.owner()
    orders = await world.cloud.namespace(owner)
    of_all, _ = await world.create(owner, "600.00")
    of_orders, _ = await world.create(owner, "100.00", orders)
    april = hour_of(datetime(2026, 4, 1, tzinfo=UTC))
    await put_plan(world.cloud.database, owner.account_id, Plan.BUSINESS, april)
    await world.spend(orders, "150.00")
    await world.keeper.look()
    assert (await world.view(owner, of_all)).standing.spent == Decimal("165.00")
    assert await world.told(owner, of_all) == []
    world.cloud.clock.at = hour_start(april)
    # Of these three million Actions half a million are paid for, and the fee is $500.
    await world.spend(orders, "150.00")
    await world.keeper.look()
    assert (await world.view(owner, of_all)).standing.spent == Decimal("525.00")
    assert (await world.view(owner, of_orders)).standing.spent == Decimal("25.00")
    assert await world.told(owner, of_all) == [50, 80]


async def test_whose_starts_are_stopped_is_told_whichever_thresholds_there_are(
    world: World,
) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    await world.create(owner, "1.00", ref, stops_starts=True, thresholds=())
    await world.spend(ref, "1.00")
    await world.keeper.look()
    assert await world.letters() == ["ada@example.com: Budget monthly: 100 % spent"]


async def test_owners_and_finance_admins_are_told_and_nobody_else(world: World) -> None:
    owner = await world.cloud.owner()
    await world.cloud.owner("bob@example.com")
    for role in AccountRole:
        await world.cloud.member(owner, role)
    ref = await world.cloud.namespace(owner)
    await world.create(owner, "1.00", ref, thresholds=(100,))
    await world.spend(ref, "1.00")
    await world.keeper.look()
    told = {letter.partition("-")[0].partition("@")[0] for letter in await world.letters()}
    assert told == {"ada", "owner", "finance_admin"}


async def test_a_crash_between_the_stop_and_the_alert_leaves_neither(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    budget, _ = await world.create(owner, "1.00", ref, stops_starts=True, thresholds=())
    await world.spend(ref, "1.00")

    async def crash(*_given: Any, **_named: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(world.cloud.control.outbox, "post", crash)
        with pytest.raises(ZeroDivisionError):
            await world.keeper.look()
    assert not await world.is_stopped(ref)
    assert await world.told(owner, budget) == []
    await world.keeper.look()
    assert await world.is_stopped(ref)
    assert len(await world.letters()) == 1


async def test_a_budget_outlives_its_namespace(world: World) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    budget, _ = await world.create(owner, "1.00", ref, stops_starts=True)
    async with world.cloud.control.acting(owner) as session:
        stored = await session.get_one(Namespace, ref.id)
        await world.cloud.control.namespaces.delete(
            session, owner, ref.id, resource_version=stored.resource_version
        )
    await world.cloud.control.reconciler.reconcile(world.cloud.cell)
    await world.spend(ref, "1.00")
    await world.keeper.look()
    assert await world.told(owner, budget) == [50, 80, 100]


async def test_a_target_has_one_budget(world: World) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    await world.create(owner, "1.00")
    await world.create(owner, "1.00", ref)
    for target in (None, ref):
        with pytest.raises(AlreadyExists):
            await world.create(owner, "2.00", target)


async def test_a_foreign_namespace_and_a_foreign_budget_are_missing(world: World) -> None:
    ada, bob = await world.cloud.owner(), await world.cloud.owner("bob@example.com")
    ref = await world.cloud.namespace(ada)
    budget, _ = await world.create(ada, "1.00", ref, webhook_url=HOOK)
    with pytest.raises(NotFound):
        await world.create(bob, "1.00", ref)
    with pytest.raises(NotFound):
        await world.view(bob, budget)
    with pytest.raises(NotFound):
        await world.update(bob, budget, "9.00")
    for act in (world.budgets.renew_secret, world.budgets.note_test):
        with pytest.raises(NotFound):
            async with world.cloud.control.acting(bob) as session:
                await act(session, bob, budget.id)
    with pytest.raises(NotFound):
        async with world.cloud.control.acting(bob) as session:
            await world.budgets.delete(session, bob, budget.id, resource_version=1)


@pytest.mark.parametrize("role", [AccountRole.ADMIN, AccountRole.DEVELOPER, AccountRole.READ])
async def test_who_has_nothing_to_do_with_money_makes_no_budget(
    world: World, role: AccountRole
) -> None:
    member = await world.cloud.member(await world.cloud.owner(), role)
    before = await world.cloud.audit_count(member.account_id)
    with pytest.raises(PermissionDenied):
        await world.create(member, "1.00")
    assert await world.cloud.audit_count(member.account_id) == before + 1


async def test_every_change_and_every_stop_is_audited(world: World) -> None:
    owner = await world.cloud.owner()
    ref = await world.cloud.namespace(owner)
    before = await world.cloud.audit_count(owner.account_id)
    budget, _ = await world.create(owner, "1.00", ref, stops_starts=True)
    await world.spend(ref, "1.00")
    await world.keeper.look()
    await world.update(owner, budget, "5.00")
    assert await world.cloud.audit_count(owner.account_id) == before + 4


async def test_an_old_version_changes_nothing(world: World) -> None:
    owner = await world.cloud.owner()
    budget, _ = await world.create(owner, "1.00")
    with pytest.raises(Conflict):
        async with world.cloud.control.acting(owner) as session:
            await world.budgets.delete(session, owner, budget.id, resource_version=0)


LIMITS: list[tuple[dict[str, Any], bool]] = [
    ({"amount": "0.00"}, False),
    ({"amount": "0.01"}, True),
    ({"amount": "0.011"}, False),
    ({"amount": f"{AMOUNT_MAX - Decimal('0.01')}"}, True),
    ({"amount": f"{AMOUNT_MAX}"}, True),
    ({"amount": f"{AMOUNT_MAX + Decimal('0.01')}"}, False),
    ({"amount": "NaN"}, False),
    ({"amount": "Infinity"}, False),
    ({"thresholds": tuple(range(1, THRESHOLDS_MAX))}, True),
    ({"thresholds": tuple(range(1, THRESHOLDS_MAX + 1))}, True),
    ({"thresholds": tuple(range(1, THRESHOLDS_MAX + 2))}, False),
    ({"thresholds": (0,)}, False),
    ({"thresholds": (1, THRESHOLD_PERCENT_MAX)}, True),
    ({"thresholds": (THRESHOLD_PERCENT_MAX + 1,)}, False),
    ({"webhook_url": "http://example.com/"}, False),
    ({"webhook_url": HOOK}, True),
]


@pytest.mark.parametrize(("given", "is_accepted"), LIMITS)
async def test_a_budget_has_limits(world: World, given: dict[str, Any], is_accepted: bool) -> None:
    owner = await world.cloud.owner()
    wanted = {"amount": "1.00", **given}
    if is_accepted:
        budget, _ = await world.create(owner, **wanted)
        view = await world.view(owner, budget)
        assert view.budget.amount_cents == Decimal(wanted["amount"]) * 100
    else:
        with pytest.raises((InvalidField, AddressRefused)):
            await world.create(owner, **wanted)


@pytest.mark.parametrize("characters", [-1, 0, 1])
async def test_a_name_has_a_most_of_characters(world: World, characters: int) -> None:
    owner = await world.cloud.owner()
    budget, _ = await world.create(owner, "1.00")
    budget.name = "n" * (BUDGET_NAME_CHARACTERS_MAX + characters)
    if characters <= 0:
        await world.update(owner, budget, "1.00")
        assert (await world.view(owner, budget)).budget.name == budget.name
    else:
        with pytest.raises(InvalidField, match="name"):
            await world.update(owner, budget, "1.00")


async def test_an_account_has_a_most_of_budgets(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BUDGETS_PER_ACCOUNT_MAX == 100
    monkeypatch.setattr("billing.budgets.budgets.BUDGETS_PER_ACCOUNT_MAX", 2)
    owner = await world.cloud.owner()
    await world.create(owner, "1.00")
    await world.create(owner, "1.00", await world.cloud.namespace(owner))
    with pytest.raises(LimitReached):
        await world.create(owner, "1.00", await world.cloud.namespace(owner, "ships"))


async def test_all_budgets_are_looked_at_though_they_are_read_page_by_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.budgets.keeper.BUDGETS_PER_READ", 2)
    owner = await world.cloud.owner()
    refs = [await world.cloud.namespace(owner, f"ns-{number}") for number in range(5)]
    for ref in refs:
        await world.create(owner, "1.00", ref, stops_starts=True)
        await world.spend(ref, "1.00")
    world.cloud.clock.move(seconds=timedelta(minutes=1).seconds)
    assert await world.keeper.look() == len(refs)
    assert len(await world.restrictions()) == len(refs)
