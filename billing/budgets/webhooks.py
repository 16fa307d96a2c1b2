"""Calls of webhooks: signed as the Standard Webhooks specification says, until one is accepted."""

from __future__ import annotations

import base64
import hmac
import logging
from datetime import datetime

from billing.budgets.tables import Budget, DeliveryState, WebhookDelivery
from tenancy import Database
from tenancy.deliveries import Deliveries, NotDelivered
from tenancy.errors import AddressRefused, NoAnswer
from tenancy.outgoing import EXCHANGE_SECONDS_MAX, Outgoing
from tenancy.randomness import Now, TokenBytes
from tenancy.sealing import Sealer

logger = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"  # noqa: S105 - what each of them begins with
SECRET_BYTES = 24
CALLS_AT_ONCE_MAX = 20
CLAIM_SECONDS = 6 * EXCHANGE_SECONDS_MAX


class WebhookSecrets:
    """What a webhook's calls are signed with: shown once, sealed at rest."""

    def __init__(self, sealer: Sealer, *, token_bytes: TokenBytes) -> None:
        self._sealer = sealer
        self._token_bytes = token_bytes

    def renew(self, budget: Budget) -> str:
        """A new secret, as its receiver's libraries want it."""
        secret = self._token_bytes(SECRET_BYTES)
        budget.webhook_secret = self._sealer.seal(secret, context=_context(budget.id))
        return SECRET_PREFIX + base64.b64encode(secret).decode()

    def unsealed(self, budget_id: str, sealed: bytes) -> bytes:
        return self._sealer.unseal(sealed, context=_context(budget_id))


def _context(budget_id: str) -> str:
    return f"webhook of budget {budget_id}"


def signed_headers(id: str, at: datetime, body: bytes, secret: bytes) -> dict[str, str]:
    """The time is that of the attempt, so that a receiver can refuse what was recorded."""
    timestamp = str(int(at.timestamp()))
    digest = hmac.digest(secret, b".".join((id.encode(), timestamp.encode(), body)), "sha256")
    return {
        "content-type": "application/json",
        "user-agent": "Perdure",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


class Webhooks:
    """One receiver that fails, or takes its time, keeps no other waiting."""

    def __init__(
        self, *, database: Database, outgoing: Outgoing, secrets: WebhookSecrets, now: Now
    ) -> None:
        self._database = database
        self._outgoing = outgoing
        self._secrets = secrets
        self._now = now
        self._deliveries = Deliveries(
            WebhookDelivery,
            self._send,
            _note,
            database=database,
            now=now,
            claim_seconds=CLAIM_SECONDS,
            at_once=CALLS_AT_ONCE_MAX,
        )

    async def deliver(self) -> int:
        """Sends what is due; returns how much was accepted."""
        return await self._deliveries.deliver()

    async def call(self, budget: Budget, id: str, body: bytes) -> str:
        """One call, now; what went wrong with it, or nothing."""
        assert budget.webhook_secret is not None, "a webhook has a secret"
        secret = self._secrets.unsealed(budget.id, budget.webhook_secret)
        headers = signed_headers(id, self._now(), body, secret)
        try:
            reply = await self._outgoing.post(budget.webhook_url, body, headers=headers)
        except (AddressRefused, NoAnswer) as error:
            return error.why
        return "" if reply.is_success else f"it answered {reply.status}"

    async def _send(self, delivery: WebhookDelivery) -> None:
        async with self._database.reading() as session:
            budget = await session.get(Budget, delivery.budget_id)
        if budget is None or not budget.webhook_url:
            raise NotDelivered("the webhook was removed", is_final=True)
        if problem := await self.call(budget, delivery.id, delivery.body):
            raise NotDelivered(problem)


def _note(delivery: WebhookDelivery, problem: str) -> None:
    told = {"delivery": delivery.id, "budget": delivery.budget_id, "attempt": delivery.attempts}
    delivery.problem = problem
    if delivery.ended_at is None:
        logger.info("webhook_put_off", extra=told)
        return
    delivery.state = DeliveryState.DELIVERED
    if problem:
        delivery.state = DeliveryState.FAILED
        logger.info("webhook_given_up", extra=told)
