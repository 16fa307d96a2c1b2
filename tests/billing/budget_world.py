"""A control plane with budgets, on a clock that tests move, and webhooks that go to a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random

import sqlalchemy as sa

from billing.budgets import (
    Alerts,
    Budget,
    BudgetKeeper,
    Budgets,
    BudgetSpec,
    BudgetView,
    Webhooks,
    WebhookSecrets,
)
from billing.prices import MILLION
from billing.times import hour_of
from billing.usage import Collector
from engine.metering.facts import Fact, FactKind
from tenancy import NamespaceRef, Passwords, Principal, Restriction
from tenancy.errors import NoAnswer
from tenancy.mail.outbox import PostedLetter
from tenancy.outgoing import Outgoing, Reply
from tenancy.restrictions import restrictions_of
from tenancy.sealing import Sealer
from tests.billing.conftest import Cell
from tests.tenancy.cloud import PEPPER, Cloud, open_cloud

ACTIONS_PER_DOLLAR = MILLION // 50
HOOK = "https://hooks.example.com/budget"


class Receivers(Outgoing):
    """Whatever is posted arrives here; `answers` are given in order, then 200."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[tuple[str, bytes, dict[str, str]]] = []
        self.answers: list[int] = []

    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        self.posted.append((url, body, dict(headers or {})))
        status = self.answers.pop(0) if self.answers else 200
        if not status:
            raise NoAnswer("the connection failed")
        return Reply(status, {}, b"")


@dataclass
class World:
    cloud: Cloud
    keeper: BudgetKeeper
    budgets: Budgets
    webhooks: Webhooks
    receivers: Receivers
    cell: Cell = field(default_factory=Cell)

    async def spend(self, ref: NamespaceRef, dollars: str) -> None:
        """Actions of the present hour, which cost that much before the plan's fee."""
        actions = int(Decimal(dollars) * ACTIONS_PER_DOLLAR)
        hour = hour_of(self.cloud.clock.now())
        self.cell.commit(Fact(ref.id, FactKind.WORKFLOW_STARTED, "Order", "orders", hour, actions))

        async def account_of(_namespace_id: str) -> str | None:
            return ref.account_id

        await Collector(self.cloud.database, self.cell, account_of).run_once()

    async def create(
        self, actor: Principal, amount: str, namespace: NamespaceRef | None = None, **more: object
    ) -> tuple[Budget, str]:
        spec = BudgetSpec("monthly", Decimal(amount), **more)  # type: ignore[arg-type]
        id = None if namespace is None else namespace.id
        async with self.cloud.control.acting(actor) as session:
            return await self.budgets.create(session, actor, spec, namespace_id=id)

    async def update(self, actor: Principal, budget: Budget, amount: str, **more: object) -> str:
        """As it was, but for this; returns a secret if there is a new one."""
        kept = {
            "thresholds": tuple(budget.thresholds),
            "stops_starts": budget.stops_starts,
            "webhook_url": budget.webhook_url,
        }
        wanted = {**kept, **more}
        spec = BudgetSpec(budget.name, Decimal(amount), **wanted)  # type: ignore[arg-type]
        async with self.cloud.control.acting(actor) as session:
            stored = await session.get_one(Budget, budget.id)
            _, secret = await self.budgets.update(
                session, actor, budget.id, spec, resource_version=stored.resource_version
            )
        return secret

    async def view(self, actor: Principal, budget: Budget) -> BudgetView:
        async with self.cloud.database.reading() as session:
            (view,) = await self.budgets.views(session, actor, budget.id)
            return view

    async def told(self, actor: Principal, budget: Budget) -> list[int]:
        """The thresholds that were reached this month."""
        return sorted((await self.view(actor, budget)).standing.told)

    async def letters(self) -> list[str]:
        """What was written to whom, the oldest first."""
        async with self.cloud.database.reading() as session:
            rows = await session.scalars(
                sa.select(PostedLetter)
                .where(PostedLetter.kind == "budget_alert")
                .order_by(PostedLetter.created_at)
            )
            letters = [self.cloud.control.outbox.opened(row) for row in rows]
        return [f"{letter.to}: {letter.subject}" for letter in letters]

    async def restrictions(self) -> list[Restriction]:
        async with self.cloud.database.reading() as session:
            return await restrictions_of(session)

    async def is_stopped(self, ref: NamespaceRef) -> bool:
        """What the door says."""
        await self.cloud.control.snapshot.refresh()
        return self.cloud.control.snapshot.restriction(ref) is not None


@asynccontextmanager
async def open_world(url: str, path: Path, passwords: Passwords) -> AsyncIterator[World]:
    async with open_cloud(url, path / "snapshot", passwords) as cloud:
        control, clock, token_bytes = cloud.control, cloud.clock, Random(3).randbytes
        receivers = Receivers()
        sealer = Sealer(PEPPER, purpose="budget webhooks", token_bytes=token_bytes)
        secrets = WebhookSecrets(sealer, token_bytes=token_bytes)
        alerts = Alerts(
            outbox=control.outbox,
            now=clock.now,
            token_bytes=token_bytes,
            console_address="http://cloud.test",
        )
        keeper = BudgetKeeper(
            database=cloud.database,
            restrictions=control.restrictions,
            alerts=alerts,
            now=clock.now,
        )
        budgets = Budgets(
            keeper=keeper,
            secrets=secrets,
            outgoing=receivers,
            audit=control.audit,
            now=clock.now,
            token_bytes=token_bytes,
        )
        webhooks = Webhooks(
            database=cloud.database, outgoing=receivers, secrets=secrets, now=clock.now
        )
        yield World(cloud, keeper, budgets, webhooks, receivers)
