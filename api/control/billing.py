"""How an account pays, and its invoices."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from api.control.desk import Desk, caller_of, desk_of
from billing import plans
from billing.invoices import reading
from billing.invoices.documents import Document, as_csv, as_pdf
from billing.invoices.text import amount_of, invoice_number
from billing.prices import CURRENCY, Plan, price_list
from billing.stripe.customers import payer_of
from billing.tables import Invoice, InvoiceLine, InvoiceState
from billing.times import hour_of, hour_start, month_name, month_of
from tenancy import Access, Account, Principal
from tenancy.restrictions import RestrictionCause, restrictions_of

TOKEN_CHARACTERS_MAX = 200

router = APIRouter(tags=["Billing"])
Caller = Annotated[Principal, Depends(caller_of)]
InvoiceId = Annotated[str, Path(max_length=36)]


class Card(BaseModel):
    """The card that invoices are charged to."""

    brand: str
    last4: str
    expires: str


class ShownTier(BaseModel):
    """The price of the Actions up to the `up_to`-th behind the included ones; null: all others."""

    model_config = ConfigDict(from_attributes=True)
    up_to: int | None
    per_million: Decimal


class ShownPlan(BaseModel):
    """What a month costs. `name` is what people call the plan. The fee is `fee_percent` of what the
    Actions cost, or `fee_minimum` if that is more.
    """

    model_config = ConfigDict(from_attributes=True)
    plan: Plan
    name: str
    included_actions: int
    tiers: list[ShownTier]
    fee_minimum: Decimal
    fee_percent: Decimal


class Billing(BaseModel):
    """`plan` is this month's. `next_plan` takes its place at `next_month_at`, and is null if no
    other was chosen. `plans` are those that can be chosen, with the prices of that time.

    `payment_service` is `live`, `test`, or `stand-in` where no money moves. `owed` is what was
    sent and is not paid. `card` is null without one on file.
    """

    account_id: str
    plan: Plan
    next_plan: Plan | None
    next_month_at: datetime
    plans: list[ShownPlan]
    currency: str
    payment_service: str
    card: Card | None
    owed: Decimal
    is_restricted: bool


class WantedPlan(BaseModel):
    plan: Plan


class HostedPage(BaseModel):
    """A page of the payment service, for a browser; it works for a short time."""

    url: str


class ShownInvoice(BaseModel):
    """One month. `failed_at` is when a payment failed first, while none was made since."""

    id: str
    number: str
    month: str
    state: InvoiceState
    currency: str
    total: Decimal
    issued_at: datetime
    paid_at: datetime | None
    failed_at: datetime | None


class ShownLine(BaseModel):
    """`month` is the one of the usage: an earlier one if it was counted after its invoice."""

    month: str
    text: str
    quantity: int | None
    per_million: Decimal | None
    amount: Decimal


class InvoiceWithLines(ShownInvoice):
    """The amounts of the lines add up to the total."""

    lines: list[ShownLine]


class Invoices(BaseModel):
    """One page, the newest first; `next_page_token` is empty on the last one."""

    invoices: list[ShownInvoice]
    next_page_token: str


@router.get("/api/v1/billing")
async def billing(request: Request, caller: Caller) -> Billing:
    """The plan, what plans cost, the card on file, and what is owed."""
    return await _billing(await _desk(request, caller, "billing.read"), caller)


@router.put("/api/v1/billing/plan")
async def choose_plan(request: Request, caller: Caller, wanted: WantedPlan) -> Billing:
    """Choose the plan from the next UTC month on. To choose this month's takes a choice back."""
    desk = desk_of(request)
    async with desk.control.acting(caller) as session:
        await plans.choose_plan(
            session, caller, wanted.plan, audit=desk.control.audit, now=desk.now
        )
    return await _billing(desk, caller)


async def _billing(desk: Desk, caller: Principal) -> Billing:
    service = desk.payments.service
    month = month_of(hour_of(desk.now()))
    next_month_at = hour_start(month.to_hour)
    async with desk.database.reading() as session:
        plan = await plans.plan_of(session, caller.account_id, month)
        next_plan = await plans.plan_of(session, caller.account_id, month_of(month.to_hour))
        payer = await payer_of(session, caller.account_id, service)
        owed = await reading.owed_cents(session, caller.account_id)
        restrictions = await restrictions_of(session, [caller.account_id])
    card = None
    if payer is not None and payer.card_last4:
        card = Card(brand=payer.card_brand, last4=payer.card_last4, expires=payer.card_expires)
    return Billing(
        account_id=caller.account_id,
        plan=plan,
        next_plan=None if next_plan is plan else next_plan,
        next_month_at=next_month_at,
        plans=[ShownPlan.model_validate(price_list(each, next_month_at.date())) for each in Plan],
        currency=CURRENCY,
        payment_service=service,
        card=card,
        owed=amount_of(owed),
        is_restricted=any(each.cause is RestrictionCause.PAYMENT for each in restrictions),
    )


@router.post("/api/v1/billing/checkout", status_code=201)
async def open_checkout(request: Request, caller: Caller) -> HostedPage:
    """A page on which a card is put on file."""
    desk = await _desk(request, caller, "billing.open_checkout")
    back = _console(request)
    url = await desk.payments.customers.open_checkout(
        caller, success=f"{back}?notice=card", cancel=back
    )
    return HostedPage(url=url)


@router.post("/api/v1/billing/portal", status_code=201)
async def open_portal(request: Request, caller: Caller) -> HostedPage:
    """A page on which cards are changed and what was charged is read."""
    desk = await _desk(request, caller, "billing.open_portal")
    url = await desk.payments.customers.open_portal(caller, back=_console(request))
    return HostedPage(url=url)


@router.get("/api/v1/invoices")
async def list_invoices(
    request: Request,
    caller: Caller,
    next_page_token: Annotated[
        str, Query(max_length=TOKEN_CHARACTERS_MAX, description="Of the last answer.")
    ] = "",
) -> Invoices:
    """The invoices of the account."""
    desk = await _desk(request, caller, "invoices.read")
    tokens = desk.control.page_tokens.of(caller.account_id, "invoices")
    before = tokens.open(next_page_token, "next_page_token")
    async with desk.database.reading() as session:
        found = await reading.invoices_of(
            session, caller.account_id, None if before is None else int(before)
        )
    is_full = len(found) == reading.INVOICES_PER_PAGE
    return Invoices(
        invoices=[ShownInvoice.model_validate(_shown(each)) for each in found],
        next_page_token=tokens.seal(str(found[-1].from_hour)) if is_full else "",
    )


@router.get("/api/v1/invoices/{invoice_id}")
async def get_invoice(request: Request, invoice_id: InvoiceId, caller: Caller) -> InvoiceWithLines:
    """One invoice with its lines."""
    document = await _document(request, caller, invoice_id)
    lines = [_line(each) for each in document.lines]
    return InvoiceWithLines.model_validate({**_shown(document.invoice), "lines": lines})


@router.get(
    "/api/v1/invoices/{invoice_id}/csv",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def get_invoice_csv(request: Request, invoice_id: InvoiceId, caller: Caller) -> Response:
    """The lines of one invoice, for a program."""
    document = await _document(request, caller, invoice_id)
    return _file(as_csv(document), "text/csv", f"{document.number}.csv")


@router.get(
    "/api/v1/invoices/{invoice_id}/pdf",
    response_class=Response,
    responses={
        200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def get_invoice_pdf(request: Request, invoice_id: InvoiceId, caller: Caller) -> Response:
    """One invoice to print."""
    document = await _document(request, caller, invoice_id)
    content = await asyncio.to_thread(as_pdf, document)
    return _file(content, "application/pdf", f"{document.number}.pdf")


@router.post("/api/v1/stripe-events", status_code=204)
async def receive_event(request: Request) -> None:
    """For the payment service alone: each event is signed, and acted upon once."""
    signature = request.headers.get("stripe-signature", "")
    await desk_of(request).payments.webhooks.receive(await request.body(), signature)


async def _desk(request: Request, caller: Principal, action: str) -> Desk:
    desk = desk_of(request)
    await desk.control.require(caller, Access.FINANCE, action)
    return desk


async def _document(request: Request, caller: Principal, invoice_id: str) -> Document:
    desk = await _desk(request, caller, "invoices.read")
    async with desk.database.reading() as session:
        invoice, lines = await reading.invoice_of(session, caller.account_id, invoice_id)
        account = await session.get_one(Account, caller.account_id)
    return Document(invoice, lines, account.name)


def _console(request: Request) -> str:
    """The page Billing, at the address under which the caller reaches us."""
    return f"{str(request.base_url).rstrip('/')}/billing"


def _shown(invoice: Invoice) -> dict[str, object]:
    assert invoice.number is not None, "drafts are not shown"
    return {
        "id": invoice.id,
        "number": invoice_number(invoice.number),
        "month": month_name(invoice.from_hour),
        "state": invoice.state,
        "currency": invoice.currency,
        "total": amount_of(invoice.total_cents),
        "issued_at": invoice.finalized_at,
        "paid_at": invoice.paid_at,
        "failed_at": invoice.failed_at,
    }


def _line(line: InvoiceLine) -> ShownLine:
    per_million = line.per_million_cents
    return ShownLine(
        month=month_name(line.from_hour),
        text=line.text,
        quantity=line.quantity,
        per_million=None if per_million is None else amount_of(per_million),
        amount=amount_of(line.amount_cents),
    )


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
