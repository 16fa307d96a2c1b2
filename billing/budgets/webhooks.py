"""Calls of webhooks: signed as the Standard Webhooks specification says, until one is accepted."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from billing.budgets.tables import Budget, DeliveryState, WebhookDelivery
from tenancy import Database
from tenancy.database import forget
from tenancy.errors import AddressRefused, NoAnswer
from tenancy.mail.delivery import ATTEMPTS_MAX, backoff
from tenancy.outgoing import EXCHANGE_SECONDS_MAX, Outgoing
from tenancy.randomness import Now, TokenBytes
from tenancy.sealing import Sealer

logger = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"  # noqa: S105 - what each of them begins with
SECRET_BYTES = 24
DELIVERIES_PER_ROUND_MAX = 20
DELIVERY_KEPT_DAYS = 30
CLAIM_SECONDS = 6 * EXCHANGE_SECONDS_MAX
"""How long a delivery is its claimer's: well above what one attempt may take."""


@dataclass(frozen=True, slots=True)
class _Claimed:
    id: str
    budget_id: str
    attempts: int
    body: bytes
    url: str
    sealed_secret: bytes


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
    """Delivers at least once. Several may work on one database: each claims what it sends."""

    def __init__(
        self, *, database: Database, outgoing: Outgoing, secrets: WebhookSecrets, now: Now
    ) -> None:
        self._database = database
        self._outgoing = outgoing
        self._secrets = secrets
        self._now = now

    async def deliver(self) -> int:
        """Sends what is due, all of it side by side; returns how much was accepted."""
        if not await self._is_any_due():
            return 0
        claimed = await self._claim()
        accepted = await asyncio.gather(*(self._send(each) for each in claimed))
        await self._forget_old()
        return sum(accepted)

    async def call(self, budget: Budget, id: str, body: bytes) -> str:
        """One call, now; what went wrong with it, or nothing."""
        assert budget.webhook_secret is not None, "a webhook has a secret"
        return await self._call(
            _Claimed(id, budget.id, 1, body, budget.webhook_url, budget.webhook_secret)
        )

    async def _is_any_due(self) -> bool:
        async with self._database.reading() as session:
            due = sa.exists().where(WebhookDelivery.due_at <= self._now())
            return bool(await session.scalar(sa.select(due)))

    async def _claim(self) -> list[_Claimed]:
        now = self._now()
        async with self._database.transaction() as session:
            rows = await session.execute(
                sa.select(WebhookDelivery, Budget)
                .join(Budget, Budget.id == WebhookDelivery.budget_id)
                .where(WebhookDelivery.due_at <= now)
                .order_by(WebhookDelivery.due_at)
                .limit(DELIVERIES_PER_ROUND_MAX)
                .with_for_update(skip_locked=True, of=WebhookDelivery)
            )
            claimed = []
            for delivery, budget in rows:
                if not budget.webhook_url or budget.webhook_secret is None:
                    delivery.state, delivery.due_at = DeliveryState.FAILED, None
                    delivery.problem, delivery.ended_at = "the webhook was removed", now
                    continue
                # It counts as an attempt now: what ends the process each time is given up too.
                delivery.attempts += 1
                delivery.due_at = now + timedelta(seconds=CLAIM_SECONDS)
                claimed.append(
                    _Claimed(
                        delivery.id,
                        budget.id,
                        delivery.attempts,
                        delivery.body,
                        budget.webhook_url,
                        budget.webhook_secret,
                    )
                )
        return claimed

    async def _send(self, claimed: _Claimed) -> bool:
        problem = await self._call(claimed)
        now = self._now()
        is_over = not problem or claimed.attempts >= ATTEMPTS_MAX
        told = {"delivery": claimed.id, "budget": claimed.budget_id, "attempt": claimed.attempts}
        if problem and is_over:
            logger.info("webhook_given_up", extra=told)
        elif problem:
            logger.info("webhook_put_off", extra=told)
        async with self._database.transaction() as session:
            # With its budget it may be gone by now.
            delivery = await session.get(WebhookDelivery, claimed.id)
            if delivery is None:
                return False
            delivery.problem = problem
            delivery.due_at = None if is_over else now + backoff(claimed.attempts)
            if is_over:
                delivery.ended_at = now
                delivery.state = DeliveryState.FAILED if problem else DeliveryState.DELIVERED
        return not problem

    async def _call(self, claimed: _Claimed) -> str:
        secret = self._secrets.unsealed(claimed.budget_id, claimed.sealed_secret)
        headers = signed_headers(claimed.id, self._now(), claimed.body, secret)
        try:
            reply = await self._outgoing.post(claimed.url, claimed.body, headers=headers)
        except (AddressRefused, NoAnswer) as error:
            return error.why
        return "" if reply.is_success else f"it answered {reply.status}"

    async def _forget_old(self) -> None:
        kept_since = self._now() - timedelta(days=DELIVERY_KEPT_DAYS)
        async with self._database.transaction() as session:
            await forget(session, WebhookDelivery.id, WebhookDelivery.ended_at < kept_since)
