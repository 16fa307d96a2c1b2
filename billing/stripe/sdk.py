"""Stripe's own library. Nothing imports this module but a connection that is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

import httpx
import stripe

CALL_SECONDS_MAX = 30.0


class Http(stripe.HTTPClient):
    """Stripe's requests on httpx, over any transport."""

    name = "httpx"

    def __init__(self, transport: httpx.AsyncBaseTransport | None) -> None:
        super().__init__()
        self._http = httpx.AsyncClient(transport=transport, timeout=CALL_SECONDS_MAX)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._http.request(
                method.upper(), url, headers=dict(headers), content=post_data
            )
        except httpx.TransportError as error:
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
                "the connection to Stripe failed", should_retry=True
            ) from error
        return answer.content, answer.status_code, answer.headers

    def sleep_async(self, secs: float) -> Awaitable[None]:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        await self._http.aclose()


class Opened:
    """A client, and the names of its errors and checks for those who must not import them."""

    declined = stripe.CardError
    refused = stripe.StripeError
    unavailable = (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError)
    unsigned = stripe.SignatureVerificationError

    def __init__(
        self, key: str, transport: httpx.AsyncBaseTransport | None, retries_max: int
    ) -> None:
        self._http = Http(transport)
        self.client = stripe.StripeClient(
            key, http_client=self._http, max_network_retries=retries_max
        )

    def check_signature(self, body: bytes, signature: str, secret: str) -> None:
        """Raises `unsigned`. How old it is, is for the caller, who has a clock."""
        stripe.WebhookSignature.verify_header(body.decode(), signature, secret, tolerance=None)

    async def aclose(self) -> None:
        await self._http.close_async()
