"""Events on their way back to us: signed as Stripe signs them, sent until they are taken."""

from __future__ import annotations

import hashlib
import hmac
import logging
from datetime import timedelta

import httpx

from billing.stand_in.server import StandIn
from billing.stand_in.store import Waiting

ATTEMPTS_MAX = 12
BACKOFF_SECONDS_FIRST = 2
BACKOFF_SECONDS_MAX = 3_600
CALL_SECONDS_MAX = 30.0

logger = logging.getLogger(__name__)


class EventSender:
    """`address` takes them, over `transport` where that is not the network."""

    def __init__(
        self,
        stand_in: StandIn,
        *,
        secret: str,
        address: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._stand_in = stand_in
        self._secret = secret
        self._address = address
        self._http = httpx.AsyncClient(
            transport=transport, timeout=CALL_SECONDS_MAX, trust_env=False
        )

    async def send(self) -> None:
        """Sends what is due, once each."""
        self._stand_in.told.clear()
        for event in self._stand_in.store.waiting(self._stand_in.now()):
            if await self._is_taken(event):
                self._stand_in.store.taken(event)
            else:
                self._put_off(event)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _is_taken(self, event: Waiting) -> bool:
        headers = {
            "content-type": "application/json",
            "stripe-signature": self._signature(event.body),
        }
        try:
            answer = await self._http.post(self._address, content=event.body, headers=headers)
        except httpx.HTTPError:
            return False
        return answer.is_success

    def _signature(self, body: str) -> str:
        at = int(self._stand_in.now().timestamp())
        digest = hmac.digest(self._secret.encode(), f"{at}.{body}".encode(), hashlib.sha256)
        return f"t={at},v1={digest.hex()}"

    def _put_off(self, event: Waiting) -> None:
        if event.attempts + 1 >= ATTEMPTS_MAX:
            logger.warning("event_given_up", extra={"sequence": event.sequence})
            self._stand_in.store.taken(event)
            return
        seconds = min(BACKOFF_SECONDS_FIRST * 2**event.attempts, BACKOFF_SECONDS_MAX)
        self._stand_in.store.put_off(event, self._stand_in.now() + timedelta(seconds=seconds))
