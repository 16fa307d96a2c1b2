"""The stand-in as an HTTP service: authentication, idempotency, faults, and one row per call."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from billing.stand_in.customers import StandInCustomers
from billing.stand_in.desk import StandInDesk
from billing.stand_in.invoices import StandInInvoices
from billing.stand_in.parameters import checked, decoded
from billing.stand_in.refusal import Refusal
from billing.stand_in.sessions import StandInSessions
from billing.stand_in.store import Answer, Object, Store

IDEMPOTENCY_SECONDS = 24 * 60 * 60
ID = r"(?P<id>\w+)"
FAULT = {429: "rate_limit_error"}

Act = Callable[..., Object]


class Call(NamedTuple):
    """One call of Stripe's API, and the type of its library that says what may be sent."""

    method: str
    path: re.Pattern[str]
    parameters: str
    act: Act


class StandIn:
    """`faults` are statuses that the next requests are answered with, before anything is done.

    `key` and the rest of the state come from outside; without a `path` the state is in memory.
    """

    def __init__(
        self,
        *,
        key: str,
        now: Callable[[], datetime],
        token_bytes: Callable[[int], bytes],
        path: Path | None = None,
    ) -> None:
        self._key = key
        self._desk = StandInDesk(Store(path), now, token_bytes)
        self.customers = StandInCustomers(self._desk)
        self.invoices = StandInInvoices(self._desk, self.customers)
        self.sessions = StandInSessions(self._desk, self.customers)
        self.faults: list[int] = []
        self._calls = self._table()

    @property
    def store(self) -> Store:
        return self._desk.store

    @property
    def told(self) -> asyncio.Event:
        """Set when an event waits."""
        return self._desk.told

    @property
    def now(self) -> Callable[[], datetime]:
        return self._desk.now

    def close(self) -> None:
        self.store.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            self._check(request)
            text = (await request.body()).decode()
            status, body, is_replay = await self._answered(request, text)
        except Refusal as refusal:
            return JSONResponse(refusal.body, refusal.status)
        headers = {"idempotent-replayed": "true"} if is_replay else {}
        return JSONResponse(body, status, headers)

    def _check(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._key.encode()):
            raise Refusal(401, "Invalid API Key provided.")
        if self.faults:
            status = self.faults.pop(0)
            raise Refusal(status, "Injected.", kind=FAULT.get(status, "api_error"))

    async def _answered(self, request: Request, text: str) -> tuple[int, Object, bool]:
        is_post = request.method == "POST"
        call, way = self._call(request)
        # Its first use imports thousands of types.
        parameters = await asyncio.to_thread(
            _checked, text if is_post else request.url.query, call.parameters
        )
        asked = f"{request.url.path}?{text}"
        key = request.headers.get("idempotency-key", "") if is_post else ""
        with self.store.transaction():
            if known := self._known(key):
                if known.asked != asked:
                    raise Refusal(
                        400,
                        "Keys for idempotent requests can only be used with the same parameters"
                        " they were first used with.",
                        kind="idempotency_error",
                    )
                return known.status, known.body, True
            status, body = 200, {}
            try:
                body = call.act(parameters, **way)
            except Refusal as refusal:
                # A declined card is on record, and the same key is declined again.
                status, body = refusal.status, refusal.body
            if key:
                at = self._desk.now().timestamp()
                self.store.remember(key, Answer(asked, status, body, at))
        return status, body, False

    def _known(self, key: str) -> Answer | None:
        known = self.store.answer(key) if key else None
        oldest = self._desk.now().timestamp() - IDEMPOTENCY_SECONDS
        return known if known is not None and known.at > oldest else None

    def _call(self, request: Request) -> tuple[Call, dict[str, str]]:
        for call in self._calls:
            way = call.path.fullmatch(request.url.path)
            if way is not None and call.method == request.method:
                return call, way.groupdict()
        told = f"Unrecognized request URL ({request.method}: {request.url.path})."
        raise Refusal(404, f"{told} The stand-in does not serve it.")

    def _table(self) -> list[Call]:
        customers, invoices, sessions = self.customers, self.invoices, self.sessions
        rows: list[tuple[str, str, str, Act]] = [
            ("POST", "customers", "CustomerCreateParams", customers.create),
            ("GET", "customers/search", "CustomerSearchParams", customers.search),
            ("GET", f"customers/{ID}", "CustomerRetrieveParams", customers.retrieve),
            ("POST", f"customers/{ID}", "CustomerUpdateParams", customers.update),
            ("POST", "invoices", "InvoiceCreateParams", invoices.create),
            ("GET", "invoices", "InvoiceListParams", invoices.list),
            ("GET", f"invoices/{ID}", "InvoiceRetrieveParams", invoices.retrieve),
            ("POST", f"invoices/{ID}/finalize", "InvoiceFinalizeInvoiceParams", invoices.finalize),
            ("POST", f"invoices/{ID}/pay", "InvoicePayParams", invoices.pay),
            ("POST", f"invoices/{ID}/void", "InvoiceVoidInvoiceParams", invoices.void),
            ("POST", "invoiceitems", "InvoiceItemCreateParams", invoices.create_item),
            ("GET", "invoiceitems", "InvoiceItemListParams", invoices.list_items),
            (
                "POST",
                "checkout/sessions",
                "checkout.SessionCreateParams",
                sessions.create_checkout,
            ),
            (
                "GET",
                f"checkout/sessions/{ID}",
                "checkout.SessionRetrieveParams",
                sessions.retrieve_checkout,
            ),
            (
                "POST",
                "billing_portal/sessions",
                "billing_portal.SessionCreateParams",
                sessions.create_portal,
            ),
        ]
        return [
            Call(method, re.compile(f"/v1/{path}"), parameters, act)
            for method, path, parameters, act in rows
        ]


def _checked(text: str, type_name: str) -> dict[str, Any]:
    return checked(decoded(text), type_name)
