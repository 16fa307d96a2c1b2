"""Budgets as their account keeps them: made, changed, read and deleted by who has to do with money.

What a change leads to (alerts, starts stopped or let go) is part of the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from billing.budgets.keeper import BudgetKeeper
from billing.budgets.spending import Standing, standings
from billing.budgets.tables import (
    BUDGET_NAME_CHARACTERS_MAX,
    Budget,
    ReachedThreshold,
    WebhookDelivery,
)
from billing.budgets.webhooks import WebhookSecrets
from billing.rating import CENT
from billing.times import hour_of, month_of
from tenancy import AlreadyExists, Conflict, InvalidField, LimitReached, NotFound, RateLimited
from tenancy.accounts import locked_account
from tenancy.audit import AuditLog
from tenancy.namespaces import Namespace, NamespaceState
from tenancy.outgoing import Outgoing
from tenancy.randomness import Now, TokenBytes, new_uuid
from tenancy.roles import Access, Principal, require

AMOUNT_MIN = CENT
AMOUNT_MAX = Decimal(1_000_000)
BUDGETS_PER_ACCOUNT_MAX = 100
THRESHOLDS_MAX = 10
THRESHOLD_PERCENT_MAX = 1_000
TEST_AGAIN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """What people may choose. `amount` is of a month, in the currency of the price list;
    `thresholds` are percentages of it, and `webhook_url` may be empty.
    """

    name: str
    amount: Decimal
    thresholds: tuple[int, ...] = (50, 80, 100)
    stops_starts: bool = False
    webhook_url: str = ""


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget and how it is. `delivery` is the newest call of its webhook, if there was one."""

    budget: Budget
    standing: Standing
    delivery: WebhookDelivery | None


class Budgets:
    """Each call is one of FINANCE access, in the caller's unit of work."""

    def __init__(
        self,
        *,
        keeper: BudgetKeeper,
        secrets: WebhookSecrets,
        outgoing: Outgoing,
        audit: AuditLog,
        now: Now,
        token_bytes: TokenBytes,
    ) -> None:
        self._keeper = keeper
        self._secrets = secrets
        self._outgoing = outgoing
        self._audit = audit
        self._now = now
        self._token_bytes = token_bytes

    async def create(
        self, session: AsyncSession, actor: Principal, spec: BudgetSpec, *, namespace_id: str | None
    ) -> tuple[Budget, str]:
        """The budget of a namespace, or of the whole account; and its webhook's secret, if it has
        one. The namespace is the account's, or missing.
        """
        action = "budget.create"
        require(actor, Access.FINANCE, action, target=actor.account_id)
        self._check(spec)
        await locked_account(session, actor.account_id)
        target_id = target = actor.account_id
        if namespace_id is not None:
            found = await _own_namespace(session, actor, namespace_id)
            target_id, target = found.id, found.ref.full_name
        count = await session.scalar(
            sa.select(sa.func.count()).where(Budget.account_id == actor.account_id)
        )
        if count is not None and count >= BUDGETS_PER_ACCOUNT_MAX:
            raise LimitReached("budgets of an account", BUDGETS_PER_ACCOUNT_MAX, "delete one")
        if await session.scalar(sa.select(Budget.id).where(Budget.target_id == target_id)):
            raise AlreadyExists("the budget of", target)
        budget = Budget(
            id=new_uuid(self._token_bytes),
            account_id=actor.account_id,
            target_id=target_id,
            webhook_secret=None,
            webhook_tested_at=None,
            resource_version=0,
            created_at=self._now(),
        )
        session.add(budget)
        return budget, await self._put(session, actor, action, budget, spec)

    async def update(
        self,
        session: AsyncSession,
        actor: Principal,
        budget_id: str,
        spec: BudgetSpec,
        *,
        resource_version: int,
    ) -> tuple[Budget, str]:
        """The secret is there if the budget had no webhook before."""
        action = "budget.update"
        require(actor, Access.FINANCE, action, target=budget_id)
        self._check(spec)
        budget = await self._locked(session, actor, budget_id, resource_version)
        return budget, await self._put(session, actor, action, budget, spec)

    async def delete(
        self, session: AsyncSession, actor: Principal, budget_id: str, *, resource_version: int
    ) -> None:
        """Starts that it stopped are let go."""
        action = "budget.delete"
        require(actor, Access.FINANCE, action, target=budget_id)
        budget = await self._locked(session, actor, budget_id, resource_version)
        await self._keeper.lift(session, budget)
        for parts in (ReachedThreshold, WebhookDelivery):
            await session.execute(sa.delete(parts).where(parts.budget_id == budget.id))
        await session.delete(budget)
        await self._audit.record(session, actor, action, budget.id, budget.target_id)

    async def renew_secret(self, session: AsyncSession, actor: Principal, budget_id: str) -> str:
        """The old secret is of no use from now on."""
        action = "budget.renew_webhook_secret"
        require(actor, Access.FINANCE, action, target=budget_id)
        budget = await self._with_webhook(session, actor, budget_id)
        secret = self._secrets.renew(budget)
        await self._audit.record(session, actor, action, budget.id)
        return secret

    async def note_test(self, session: AsyncSession, actor: Principal, budget_id: str) -> Budget:
        """The budget whose webhook may be called once now, because somebody wants to see it."""
        action = "budget.test_webhook"
        require(actor, Access.FINANCE, action, target=budget_id)
        budget = await self._with_webhook(session, actor, budget_id)
        now, before = self._now(), budget.webhook_tested_at
        if before is not None and now - before < timedelta(seconds=TEST_AGAIN_SECONDS):
            raise RateLimited(TEST_AGAIN_SECONDS)
        budget.webhook_tested_at = now
        await self._audit.record(session, actor, action, budget.id)
        return budget

    async def views(
        self, session: AsyncSession, actor: Principal, budget_id: str | None = None
    ) -> list[BudgetView]:
        """Those of the account by name, or a single one; raises NotFound."""
        require(actor, Access.FINANCE, "budget.read", target=actor.account_id)
        asked = sa.select(Budget).where(Budget.account_id == actor.account_id)
        if budget_id is not None:
            asked = asked.where(Budget.id == budget_id)
        budgets = list(await session.scalars(asked.order_by(Budget.name, Budget.id)))
        if budget_id is not None and not budgets:
            raise NotFound("budget", budget_id)
        period = month_of(hour_of(self._now()))
        found = await standings(session, budgets, period)
        newest = await _newest_deliveries(session, [each.id for each in budgets])
        return [BudgetView(each, found[each.id], newest.get(each.id)) for each in budgets]

    async def _put(
        self,
        session: AsyncSession,
        actor: Principal,
        action: str,
        budget: Budget,
        spec: BudgetSpec,
    ) -> str:
        budget.name = spec.name
        budget.amount_cents = int(spec.amount / CENT)
        budget.thresholds = sorted(set(spec.thresholds))
        budget.stops_starts = spec.stops_starts
        budget.webhook_url = spec.webhook_url
        budget.resource_version += 1
        secret = ""
        if not spec.webhook_url:
            budget.webhook_secret = None
        elif budget.webhook_secret is None:
            secret = self._secrets.renew(budget)
        await self._audit.record(session, actor, action, budget.id, budget.target_id)
        await self._keeper.apply(session, budget, self._now())
        return secret

    async def _locked(
        self,
        session: AsyncSession,
        actor: Principal,
        budget_id: str,
        resource_version: int | None = None,
    ) -> Budget:
        await locked_account(session, actor.account_id)
        budget = await session.get(Budget, budget_id)
        if budget is None or budget.account_id != actor.account_id:
            raise NotFound("budget", budget_id)
        if resource_version not in (None, budget.resource_version):
            raise Conflict("budget", budget_id, budget.resource_version)
        return budget

    async def _with_webhook(
        self, session: AsyncSession, actor: Principal, budget_id: str
    ) -> Budget:
        budget = await self._locked(session, actor, budget_id)
        if not budget.webhook_url:
            raise InvalidField("webhook_url", "is not set", "give the budget a webhook first")
        return budget

    def _check(self, spec: BudgetSpec) -> None:
        """Raises InvalidField and AddressRefused."""
        name, amount = spec.name, spec.amount
        if not name or len(name) > BUDGET_NAME_CHARACTERS_MAX or not name.isprintable():
            limit = f"must have 1 to {BUDGET_NAME_CHARACTERS_MAX} printable characters"
            raise InvalidField("name", limit, "choose another")
        if not (amount.is_finite() and AMOUNT_MIN <= amount <= AMOUNT_MAX and not amount % CENT):
            limit = f"must be {AMOUNT_MIN} to {AMOUNT_MAX:,} in whole cents"
            raise InvalidField("amount", limit, "choose another")
        if len(spec.thresholds) > THRESHOLDS_MAX or not all(
            1 <= percent <= THRESHOLD_PERCENT_MAX for percent in spec.thresholds
        ):
            limit = f"at most {THRESHOLDS_MAX}, each of 1 to {THRESHOLD_PERCENT_MAX} percent"
            raise InvalidField("thresholds", limit, "leave some out")
        if spec.webhook_url:
            self._outgoing.check(spec.webhook_url)


async def _own_namespace(session: AsyncSession, actor: Principal, namespace_id: str) -> Namespace:
    found = await session.get(Namespace, namespace_id)
    if (
        found is None
        or found.account_id != actor.account_id
        or found.state is not NamespaceState.ACTIVE
    ):
        raise NotFound("namespace", namespace_id)
    return found


async def _newest_deliveries(
    session: AsyncSession, budget_ids: Sequence[str]
) -> dict[str, WebhookDelivery]:
    """A month has few of them, and they are kept no longer than that."""
    found = await session.scalars(
        sa.select(WebhookDelivery)
        .where(WebhookDelivery.budget_id.in_(budget_ids))
        .order_by(WebhookDelivery.created_at, WebhookDelivery.id)
    )
    return {each.budget_id: each for each in found}
