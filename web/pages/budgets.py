"""Budgets: what is to be spent in a month, how far it is, and who is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from starlette.responses import Response

from web.cloud import Answer, segment
from web.errors import Refused
from web.formats import read_month, read_time
from web.visit import Visit

PATH = "/api/v1/budgets"
THRESHOLDS_DEFAULT = "50, 80, 100"
WHOLE_PERCENT = 100
CALLS = {
    "waiting": "not accepted yet",
    "delivered": "accepted",
    "failed": "given up",
}
"""What became of the newest call of a webhook, by the API's name."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A threshold on the bar of a budget."""

    percent: int
    x_percent: float
    is_reached: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A budget as it is drawn. The bar ends at the amount, or at a threshold behind it."""

    id: str
    name: str
    namespace: str
    amount: Decimal
    spent: Decimal
    percent: int
    bar_percent: float
    marks: list[Mark]
    stops_starts: bool
    is_stopping_starts: bool
    webhook_url: str
    call: str
    call_problem: str
    called_at: datetime | None
    month: str
    resource_version: int

    @property
    def look(self) -> str:
        return "failed" if self.is_stopping_starts else "running" if self.percent else "completed"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a form holds, as it was typed."""

    name: str = ""
    amount: str = ""
    namespace: str = ""
    thresholds: str = THRESHOLDS_DEFAULT
    stops_starts: bool = False
    webhook_url: str = ""
    resource_version: str = ""

    def wanted(self) -> Answer:
        """Text that is no number goes as it is: the API says better what it takes."""
        return {
            "name": self.name,
            "amount": self.amount,
            "thresholds": [each for each in re.split(r"[\s,;%]+", self.thresholds) if each],
            "stops_starts": self.stops_starts,
            "webhook_url": self.webhook_url,
        }


async def show_all(visit: Visit) -> Response:
    return await _list(visit, Draft())


async def create(visit: Visit) -> Response:
    draft = _draft(visit)
    try:
        made = await visit.cloud.post(PATH, {**draft.wanted(), "namespace": draft.namespace})
    except Refused as error:
        return await _list(visit, draft, problem=error)
    if made["webhook_secret"]:
        return await _one(visit, _shown(made["budget"]), secret=str(made["webhook_secret"]))
    return visit.go("/budgets", notice="saved")


async def show(visit: Visit) -> Response:
    return await _one(visit, _shown(await visit.cloud.get(_path(visit))))


async def save(visit: Visit) -> Response:
    draft = _draft(visit)
    wanted = {**draft.wanted(), "resource_version": draft.resource_version}
    try:
        saved = await visit.cloud.put(_path(visit), wanted)
    except Refused as error:
        kept = _shown(await visit.cloud.get(_path(visit)))
        return await _one(visit, kept, draft=draft, problem=error)
    if saved["webhook_secret"]:
        return await _one(visit, _shown(saved["budget"]), secret=str(saved["webhook_secret"]))
    return visit.go("/budgets", notice="saved")


async def delete(visit: Visit) -> Response:
    version = visit.form.get("resource_version", "")
    try:
        await visit.cloud.delete(_path(visit), resource_version=version)
    except Refused as error:
        return await _list(visit, Draft(), problem=error)
    return visit.go("/budgets", notice="budget-deleted")


async def renew_secret(visit: Visit) -> Response:
    made = await visit.cloud.post(f"{_path(visit)}/webhook-secret", {})
    shown = _shown(await visit.cloud.get(_path(visit)))
    return await _one(visit, shown, secret=str(made["webhook_secret"]))


async def test_webhook(visit: Visit) -> Response:
    try:
        tested = await visit.cloud.post(f"{_path(visit)}/webhook-test", {})
    except Refused as error:
        tested = {"is_accepted": False, "problem": str(error)}
    return await _one(visit, _shown(await visit.cloud.get(_path(visit))), tested=tested)


async def _list(visit: Visit, draft: Draft, *, problem: Refused | None = None) -> Response:
    answer = await visit.cloud.get(PATH)
    budgets = [_shown(each) for each in answer.get("budgets") or []]
    listed = (await visit.cloud.get("/cloud/namespaces")).get("namespaces") or []
    taken = {budget.namespace for budget in budgets}
    names = [str(each["namespace"]) for each in listed if each["namespace"] not in taken]
    return visit.page(
        "budgets.html",
        status=problem.status if problem else 200,
        budgets=budgets,
        namespaces=names,
        may_have_account=("" not in taken),
        draft=draft,
        problem=problem or "",
    )


async def _one(
    visit: Visit,
    budget: Shown,
    *,
    draft: Draft | None = None,
    secret: str = "",
    tested: Answer | None = None,
    problem: Refused | None = None,
) -> Response:
    kept = Draft(
        budget.name,
        f"{budget.amount:.2f}",
        budget.namespace,
        ", ".join(str(mark.percent) for mark in budget.marks),
        budget.stops_starts,
        budget.webhook_url,
        str(budget.resource_version),
    )
    return visit.page(
        "budget.html",
        status=problem.status if problem else 200,
        budget=budget,
        draft=draft or kept,
        secret=secret,
        tested=tested,
        problem=problem or "",
    )


def _path(visit: Visit) -> str:
    return f"{PATH}/{segment(visit.path('budget'))}"


def _draft(visit: Visit) -> Draft:
    form = visit.form
    return Draft(
        name=form.get("name", "").strip(),
        amount=form.get("amount", "").strip(),
        namespace=form.get("namespace", ""),
        thresholds=form.get("thresholds", ""),
        stops_starts="stops_starts" in form,
        webhook_url=form.get("webhook_url", "").strip(),
        resource_version=form.get("resource_version", ""),
    )


def _shown(answer: Answer) -> Shown:
    amount, spent = Decimal(str(answer["amount"])), Decimal(str(answer["spent"]))
    percent = int(spent * WHOLE_PERCENT / amount)
    thresholds = [int(each) for each in answer["thresholds"]]
    end = max(WHOLE_PERCENT, *thresholds) if thresholds else WHOLE_PERCENT
    reached, call = answer["reached"], answer.get("last_call") or {}
    return Shown(
        id=str(answer["id"]),
        name=str(answer["name"]),
        namespace=str(answer["namespace"]),
        amount=amount,
        spent=spent,
        percent=percent,
        bar_percent=min(100.0, round(float(spent / amount) * WHOLE_PERCENT**2 / end, 2)),
        marks=[
            Mark(each, round(each * WHOLE_PERCENT / end, 2), each in reached) for each in thresholds
        ],
        stops_starts=bool(answer["stops_starts"]),
        is_stopping_starts=bool(answer["is_stopping_starts"]),
        webhook_url=str(answer["webhook_url"]),
        call=CALLS.get(str(call.get("state", "")), ""),
        call_problem=str(call.get("problem", "")),
        called_at=read_time(call.get("created_at")),
        month=read_month(str(answer["month"])),
        resource_version=int(answer["resource_version"]),
    )
