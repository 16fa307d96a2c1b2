"""The hosted pages: where a card is entered, and where it is looked at again."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl

import jinja2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from billing.stand_in.customers import DECLINED_AT_ONCE, DECLINED_LATER
from billing.stand_in.refusal import Refusal
from billing.stand_in.server import StandIn
from billing.stand_in.sessions import MOUNT
from billing.stand_in.store import Object

FOLDER = Path(__file__).parent / "pages"
FORM_BYTES_MAX = 4_096
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
CARDS = (
    ("4242 4242 4242 4242", "is charged"),
    (" ".join(re.findall("....", DECLINED_LATER)), "is kept, and declined when it is charged"),
    (" ".join(re.findall("....", DECLINED_AT_ONCE)), "is declined here"),
)
EXPIRY = re.compile(r"(0?[1-9]|1[0-2])\s*/\s*(?:20)?(\d\d)")
DIGITS_OF_CARD = range(12, 20)

Deliver = Callable[[], Awaitable[None]]


class _CardUnreadable(Exception):
    """Enter a card number of digits, and its expiry as MM / YY."""


def hosted_pages(stand_in: StandIn, deliver: Deliver) -> Starlette:
    """`deliver` tells of what was entered before the visitor is led back, as Stripe does."""
    pages = _Pages(stand_in, deliver)
    return Starlette(
        routes=[
            Route(f"{MOUNT}/page.css", pages.style),
            Route(f"{MOUNT}/checkout/{{id}}", pages.checkout, methods=["GET", "POST"]),
            Route(f"{MOUNT}/portal/{{id}}", pages.portal, methods=["GET", "POST"]),
        ]
    )


class _Pages:
    def __init__(self, stand_in: StandIn, deliver: Deliver) -> None:
        self._stand_in = stand_in
        self._deliver = deliver
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def style(self, request: Request) -> Response:
        return FileResponse(FOLDER / "page.css", media_type="text/css", headers=HEADERS)

    async def checkout(self, request: Request) -> Response:
        session = self._session("checkout.session", request)
        if session is None:
            return self._missing()
        problem = ""
        if request.method == "POST" and session["status"] == "open":
            try:
                number, year, month = await _card(request)
                with self._stand_in.store.transaction():
                    back = self._stand_in.sessions.complete(session["id"], number, year, month)
            except (Refusal, _CardUnreadable) as refusal:
                problem = str(refusal) or str(refusal.__doc__)
            else:
                await self._deliver()
                return RedirectResponse(back, 303, HEADERS)
        return self._page(
            "checkout.html",
            422 if problem else 200,
            problem=problem,
            is_open=session["status"] == "open",
            back=session.get("cancel_url") or session["success_url"],
            cards=CARDS,
        )

    async def portal(self, request: Request) -> Response:
        session = self._session("billing_portal.session", request)
        if session is None:
            return self._missing()
        customer_id = session["customer"]
        problem = ""
        if request.method == "POST":
            try:
                await self._change_card(customer_id, *await _card(request))
            except (Refusal, _CardUnreadable) as refusal:
                problem = str(refusal) or str(refusal.__doc__)
        invoices = self._stand_in.store.all("invoice")
        return self._page(
            "portal.html",
            422 if problem else 200,
            problem=problem,
            card=self._card_of(customer_id),
            invoices=[each for each in invoices if each["customer"] == customer_id],
            back=session["return_url"],
            cards=CARDS,
        )

    async def _change_card(self, customer_id: str, number: str, year: int, month: int) -> None:
        customers, invoices = self._stand_in.customers, self._stand_in.invoices
        with self._stand_in.store.transaction():
            method = customers.attach_card(customer_id, number, year, month)
            customers.update(
                {"invoice_settings": {"default_payment_method": method["id"]}}, customer_id
            )
            for invoice in self._stand_in.store.all("invoice"):
                if invoice["customer"] == customer_id and invoice["status"] == "open":
                    invoices.attempt(invoice)
        await self._deliver()

    def _card_of(self, customer_id: str) -> Object | None:
        expand = {"expand": ["invoice_settings.default_payment_method"]}
        customer = self._stand_in.customers.retrieve(expand, customer_id)
        method = customer["invoice_settings"]["default_payment_method"]
        return method["card"] if method else None

    def _session(self, kind: str, request: Request) -> Object | None:
        found = self._stand_in.store.find(request.path_params["id"])
        return found if found is not None and found["object"] == kind else None

    def _missing(self) -> Response:
        return self._page("missing.html", 404)

    def _page(self, template: str, status: int, **values: object) -> Response:
        text = self._templates.get_template(template).render(mount=MOUNT, **values)
        return HTMLResponse(text, status, HEADERS)


async def _card(request: Request) -> tuple[str, int, int]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise _CardUnreadable
    form = dict(parse_qsl(body.decode(errors="replace")))
    number = re.sub(r"[\s-]", "", form.get("number", ""))
    expiry = EXPIRY.fullmatch(form.get("expiry", "").strip())
    is_number = number.isascii() and number.isdigit() and len(number) in DIGITS_OF_CARD
    if not is_number or expiry is None:
        raise _CardUnreadable
    return number, 2_000 + int(expiry[2]), int(expiry[1])
