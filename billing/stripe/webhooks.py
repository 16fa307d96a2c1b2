"""What Stripe tells us: checked, kept, and then acted upon by asking Stripe how things are."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Any

import msgspec

from billing.errors import UnsignedEvent
from billing.stripe.connection import Connection
from billing.stripe.follow import Follower
from billing.tables import ProviderEvent
from tenancy import Database
from tenancy.database import forget
from tenancy.dialects import insert
from tenancy.randomness import Now

EVENT_KEPT_DAYS = 35
"""Stripe sends an event again for three days, and shows it for thirty."""

SIGNATURE_SECONDS_MAX = 300
SIGNATURE = re.compile(r"t=([0-9]{1,12})(?:,(?!t=)[!-+\--~]*)*")
"""One time, and in front: of two of them, another could be signed than is looked at."""

KIND_CHARACTERS_MAX = 100
ID_CHARACTERS_MAX = 255

logger = logging.getLogger(__name__)


class Event(msgspec.Struct, frozen=True):
    """What of an event we go by. A thin one names its object in `related_object`."""

    id: str
    type: str
    data: dict[str, Any] | None = None
    related_object: dict[str, Any] | None = None

    @property
    def object_id(self) -> str:
        """Empty if it is about nothing that has an id."""
        about = self.related_object or (self.data or {}).get("object")
        found = about.get("id") if isinstance(about, dict) else None
        return found if isinstance(found, str) else ""

    @property
    def customer_id(self) -> str:
        """Of an event about something that belongs to a customer."""
        about = (self.data or {}).get("object")
        found = about.get("customer") if isinstance(about, dict) else None
        return found if isinstance(found, str) else ""


class Webhooks:
    def __init__(
        self, database: Database, connection: Connection, follower: Follower, *, now: Now
    ) -> None:
        self._database = database
        self._connection = connection
        self._follower = follower
        self._now = now

    async def receive(self, body: bytes, signature: str) -> None:
        """Acts on an event once. Raises UnsignedEvent; and PaymentsUnavailable, upon which Stripe
        sends the event again.
        """
        await self._check(body, signature)
        try:
            event = msgspec.json.decode(body, type=Event)
        except msgspec.MsgspecError as error:
            raise UnsignedEvent from error
        if not await self._is_new(event):
            return
        await self._act(event)
        async with self._database.transaction() as session:
            kept = await session.get_one(ProviderEvent, event.id[:ID_CHARACTERS_MAX])
            kept.acted_at = self._now()

    async def forget_old(self) -> None:
        kept_since = self._now() - timedelta(days=EVENT_KEPT_DAYS)
        async with self._database.transaction() as session:
            await forget(session, ProviderEvent.id, ProviderEvent.received_at < kept_since)

    async def _check(self, body: bytes, signature: str) -> None:
        if not _is_text(body) or not self._is_fresh(signature):
            raise UnsignedEvent
        sdk = await self._connection.opened()
        for secret in self._connection.settings.webhook_secrets:
            try:
                return sdk.check_signature(body, signature, secret)
            except sdk.unsigned:
                continue
        raise UnsignedEvent

    def _is_fresh(self, signature: str) -> bool:
        """Who overheard an event once may not send it again for ever."""
        written = SIGNATURE.fullmatch(signature)
        if written is None:
            return False
        age = self._now().timestamp() - int(written[1])
        return abs(age) <= SIGNATURE_SECONDS_MAX

    async def _is_new(self, event: Event) -> bool:
        """Keeps the event; True until it was acted upon."""
        id = event.id[:ID_CHARACTERS_MAX]
        async with self._database.transaction() as session:
            await session.execute(
                insert(session, ProviderEvent)
                .values(
                    id=id,
                    kind=event.type[:KIND_CHARACTERS_MAX],
                    object_id=event.object_id[:ID_CHARACTERS_MAX],
                    received_at=self._now(),
                )
                .on_conflict_do_nothing(index_elements=["id"])
            )
            return (await session.get_one(ProviderEvent, id)).acted_at is None

    async def _act(self, event: Event) -> None:
        """By what it is about: which of its changes came first is not known."""
        # Thin events have a version in front of the same words.
        kind = event.type.removeprefix("v1.")
        if kind.startswith("invoice."):
            await self._follower.follow_invoice(event.object_id)
        elif kind == "checkout.session.completed":
            await self._follower.take_card(event.object_id)
        elif kind.startswith("customer.") and event.object_id.startswith("cus_"):
            await self._follower.follow_card(event.object_id)
        elif kind.startswith("payment_method.") and event.customer_id:
            await self._follower.follow_card(event.customer_id)
        else:
            logger.info("event_ignored", extra={"event_id": event.id, "kind": event.type})


def _is_text(body: bytes) -> bool:
    try:
        return "\0" not in body.decode()
    except UnicodeDecodeError:
        return False
