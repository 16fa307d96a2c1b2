"""Budgets: what is to be spent in a month, who is told, and what stops when it is spent."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.control.desk import Desk, caller_of, desk_of
from billing.budgets import BudgetSpec, BudgetView
from billing.budgets.alerts import scope_of
from billing.budgets.spending import amount_of
from billing.prices import CURRENCY
from billing.times import hour_of, month_name, month_of
from tenancy import Access, NotFound, Principal

router = APIRouter(tags=["Budgets"])
Caller = Annotated[Principal, Depends(caller_of)]


class Wanted(BaseModel):
    """What a budget shall be."""

    name: str
    amount: Annotated[Decimal, Field(description="Of a calendar month, in whole cents.")]
    thresholds: Annotated[
        list[int], Field(description="Percentages of the amount that are told when reached.")
    ] = [50, 80, 100]
    stops_starts: Annotated[
        bool, Field(description="Whether no new workflow is started once the amount is spent.")
    ] = False
    webhook_url: Annotated[str, Field(description="A public https URL; empty for none.")] = ""

    def spec(self) -> BudgetSpec:
        return BudgetSpec(
            self.name, self.amount, tuple(self.thresholds), self.stops_starts, self.webhook_url
        )


class WantedNew(Wanted):
    namespace: Annotated[
        str, Field(description="As `<name>.<account id>`; empty for the whole account.")
    ] = ""


class WantedChange(Wanted):
    resource_version: int


class Call(BaseModel):
    """The newest call of a webhook: `waiting` to be made again, `delivered` or `failed`."""

    state: str
    attempts: int
    problem: str
    created_at: datetime


class Budget(Wanted):
    """`spent` is what the usage page shows; `reached` are the thresholds told this month."""

    id: str
    namespace: str
    resource_version: int
    created_at: datetime
    month: str
    currency: str
    spent: Decimal
    reached: list[int]
    is_stopping_starts: bool
    last_call: Call | None


class Made(BaseModel):
    """`webhook_secret` is there when a new one was made, and never shown again."""

    budget: Budget
    webhook_secret: str


class All(BaseModel):
    budgets: list[Budget]


class Secret(BaseModel):
    webhook_secret: str


class Tested(BaseModel):
    """`problem` says what was wrong with the webhook's answer; it is empty if all is well."""

    is_accepted: bool
    problem: str


@router.get("/api/v1/budgets")
async def show_all(request: Request, caller: Caller) -> All:
    """The account's budgets, by name, with what is spent of them this month."""
    desk = desk_of(request)
    await desk.control.require(caller, Access.FINANCE, "budget.list")
    async with desk.database.reading() as session:
        views = await desk.budgeting.budgets.views(session, caller)
        return All(budgets=[await _told(session, desk, view) for view in views])


@router.post("/api/v1/budgets", status_code=201)
async def create(request: Request, caller: Caller, wanted: WantedNew) -> Made:
    """One for a namespace, or for the whole account; each has at most one."""
    desk = desk_of(request)
    await desk.control.require(caller, Access.FINANCE, "budget.create")
    namespace_id = None
    if wanted.namespace:
        ref = desk.control.snapshot.resolve(wanted.namespace)
        if ref.account_id != caller.account_id:
            raise NotFound("namespace", wanted.namespace)
        namespace_id = ref.id
    async with desk.control.acting(caller) as session:
        budget, secret = await desk.budgeting.budgets.create(
            session, caller, wanted.spec(), namespace_id=namespace_id
        )
    return await _made(desk, caller, budget.id, secret)


@router.get("/api/v1/budgets/{budget_id}")
async def show(request: Request, caller: Caller, budget_id: str) -> Budget:
    """One budget."""
    desk = desk_of(request)
    await desk.control.require(caller, Access.FINANCE, "budget.read")
    return await _read(desk, caller, budget_id)


@router.put("/api/v1/budgets/{budget_id}")
async def update(request: Request, caller: Caller, budget_id: str, wanted: WantedChange) -> Made:
    """All of it anew, but not of what it is. Starts that it stopped are let go if it is raised."""
    desk = desk_of(request)
    async with desk.control.acting(caller) as session:
        _, secret = await desk.budgeting.budgets.update(
            session, caller, budget_id, wanted.spec(), resource_version=wanted.resource_version
        )
    return await _made(desk, caller, budget_id, secret)


@router.delete("/api/v1/budgets/{budget_id}", status_code=204)
async def delete(
    request: Request, caller: Caller, budget_id: str, resource_version: Annotated[int, Query()]
) -> None:
    """Starts that it stopped are let go."""
    desk = desk_of(request)
    async with desk.control.acting(caller) as session:
        await desk.budgeting.budgets.delete(
            session, caller, budget_id, resource_version=resource_version
        )
    await desk.control.settle()


@router.post("/api/v1/budgets/{budget_id}/webhook-secret", status_code=201)
async def renew_secret(request: Request, caller: Caller, budget_id: str) -> Secret:
    """A new secret in the place of the old one, which is of no use from now on."""
    desk = desk_of(request)
    async with desk.control.acting(caller) as session:
        return Secret(
            webhook_secret=await desk.budgeting.budgets.renew_secret(session, caller, budget_id)
        )


@router.post("/api/v1/budgets/{budget_id}/webhook-test")
async def test_webhook(request: Request, caller: Caller, budget_id: str) -> Tested:
    """Calls the webhook now, once, with an event of type `budget.test`."""
    desk = desk_of(request)
    async with desk.control.acting(caller) as session:
        budget = await desk.budgeting.budgets.note_test(session, caller, budget_id)
        scope = await scope_of(session, budget)
    id, body = desk.budgeting.alerts.trial(budget, scope)
    problem = await desk.budgeting.webhooks.call(budget, id, body)
    return Tested(is_accepted=not problem, problem=problem)


async def _made(desk: Desk, caller: Principal, id: str, secret: str) -> Made:
    await desk.control.settle()
    return Made(budget=await _read(desk, caller, id), webhook_secret=secret)


async def _read(desk: Desk, caller: Principal, id: str) -> Budget:
    async with desk.database.reading() as session:
        (view,) = await desk.budgeting.budgets.views(session, caller, id)
        return await _told(session, desk, view)


async def _told(session: AsyncSession, desk: Desk, view: BudgetView) -> Budget:
    budget, call = view.budget, view.delivery
    return Budget(
        id=budget.id,
        namespace=await scope_of(session, budget),
        name=budget.name,
        amount=amount_of(budget),
        thresholds=budget.thresholds,
        stops_starts=budget.stops_starts,
        webhook_url=budget.webhook_url,
        resource_version=budget.resource_version,
        created_at=budget.created_at,
        month=month_name(month_of(hour_of(desk.now())).from_hour),
        currency=CURRENCY,
        spent=view.standing.spent,
        reached=sorted(view.standing.told),
        is_stopping_starts=view.standing.stopped_why is not None,
        last_call=None
        if call is None
        else Call(
            state=call.state,
            attempts=call.attempts,
            problem=call.problem,
            created_at=call.created_at,
        ),
    )
