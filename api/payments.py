"""Payments, put together once: Stripe, or its stand-in where nobody gave us a key."""

from __future__ import annotations

import logging

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from api.installation import Installation
from api.upkeep import Upkeep
from billing.closing import Closing
from billing.errors import PaymentsUnavailable
from billing.invoices.reminders import Reminders
from billing.stand_in import StandIn
from billing.stand_in.events import EventSender
from billing.stand_in.hosted import hosted_pages
from billing.stand_in.sessions import MOUNT
from billing.stripe import Connection, Customers, Delivery, Follower, StripeSettings, Webhooks
from tenancy import ControlPlane, Database
from tenancy.randomness import Now, TokenBytes, derived_key

EVENTS_PATH = "/api/v1/stripe-events"
STAND_IN_FILE = "stripe-stand-in.db"
SEND_SECONDS = 10.0
REMIND_SECONDS = 3_600.0
FOLLOW_SECONDS = 3_600.0
FOLLOW_AGAIN_SECONDS = 300.0

logger = logging.getLogger(__name__)


class Payments:
    """Without `settings` the stand-in answers, in this process and from a file of its own."""

    def __init__(
        self,
        control: ControlPlane,
        database: Database,
        installation: Installation,
        settings: StripeSettings | None,
        *,
        now: Now,
        token_bytes: TokenBytes,
        console_address: str,
    ) -> None:
        self._stand_in: StandIn | None = None
        self._sender: EventSender | None = None
        transport = None
        if settings is None:
            settings = stand_in_settings(installation)
            self._stand_in = StandIn(
                key=settings.key,
                now=now,
                token_bytes=token_bytes,
                path=installation.data / STAND_IN_FILE,
            )
            transport = httpx.ASGITransport(app=self._stand_in)
        self._settings = settings
        self._connection = Connection(settings, transport)
        self._reminders = Reminders(control, database, now=now, console_address=console_address)
        self.customers = Customers(control, database, self._connection, now=now)
        self._follower = follower = Follower(
            control, database, self._connection, self._reminders, now=now
        )
        delivery = Delivery(database, self._connection, self.customers, follower, now=now)
        self.closing = Closing(control, database, delivery, now=now, token_bytes=token_bytes)
        self.webhooks = Webhooks(database, self._connection, follower, now=now)

    @property
    def service(self) -> str:
        """Which one money goes through: `live`, `test` or `stand-in`."""
        return self._settings.service

    def before(self, app: ASGIApp, events: ASGIApp) -> ASGIApp:
        """The stand-in's pages before the application; its events go to `events`."""
        if self._stand_in is None:
            return app
        self._sender = EventSender(
            self._stand_in,
            secret=self._settings.webhook_secrets[0],
            address=f"http://cloud{EVENTS_PATH}",
            transport=httpx.ASGITransport(app=events),
        )
        pages = hosted_pages(self._stand_in, self._sender.send)

        async def choose(scope: Scope, receive: Receive, send: Send) -> None:
            is_ours = str(scope.get("path", "")).startswith(MOUNT)
            await (pages if is_ours else app)(scope, receive, send)

        return choose

    def start(self, upkeep: Upkeep) -> None:
        async def remind() -> float:
            await self._reminders.write()
            await self.webhooks.forget_old()
            return REMIND_SECONDS

        async def follow() -> float:
            try:
                await self._follower.follow_open()
            except PaymentsUnavailable as error:
                logger.warning("invoices_not_followed", extra={"error": type(error).__name__})
                return FOLLOW_AGAIN_SECONDS
            return FOLLOW_SECONDS

        upkeep.start("remind_of_payments", remind)
        upkeep.start("follow_invoices", follow)
        if self._stand_in is not None and self._sender is not None:
            send, told = self._sender.send, self._stand_in.told
            upkeep.every(SEND_SECONDS, "send_stand_in_events", send, wake=told)

    async def aclose(self) -> None:
        await self._connection.aclose()
        if self._sender is not None:
            await self._sender.aclose()
        if self._stand_in is not None:
            self._stand_in.close()


def stand_in_settings(installation: Installation) -> StripeSettings:
    """The key and the secret that the stand-in of this installation goes by."""

    def secret(purpose: str) -> str:
        return derived_key(installation.secrets.pepper, purpose).hex()

    return StripeSettings(
        f"sk_standin_{secret('stand-in key')}", (f"whsec_{secret('stand-in webhook')}",)
    )
