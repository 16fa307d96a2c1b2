"""The way to Stripe: opened at the first call, with what goes wrong told in our words."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from billing.errors import PaymentsRefused, PaymentsUnavailable

if TYPE_CHECKING:
    import stripe

    from billing.stripe import sdk

STAND_IN = "stand-in"
RETRIES_MAX = 2


@dataclass(frozen=True, slots=True)
class StripeSettings:
    """While a webhook secret is replaced there are two of them."""

    key: str
    webhook_secrets: tuple[str, ...]

    @property
    def service(self) -> str:
        """Objects of one service are unknown to the others."""
        parts = self.key.split("_")
        return "live" if "live" in parts else STAND_IN if "standin" in parts else "test"


class Connection:
    """`transport` is how requests travel, where that is not the network."""

    def __init__(
        self,
        settings: StripeSettings,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        retries_max: int = RETRIES_MAX,
    ) -> None:
        self.settings = settings
        self._transport = transport
        self._retries_max = retries_max
        self._opened: sdk.Opened | None = None
        self._opening = asyncio.Lock()

    @property
    def service(self) -> str:
        return self.settings.service

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[stripe.StripeClient]:
        """Raises PaymentsUnavailable and PaymentsRefused; a declined card stays what it is."""
        opened = await self.opened()
        try:
            yield opened.client
        except opened.unavailable as error:
            raise PaymentsUnavailable from error
        except opened.declined:
            raise
        except opened.refused as error:
            raise PaymentsRefused(str(getattr(error, "code", None) or type(error).__name__)) from (
                error
            )

    async def opened(self) -> sdk.Opened:
        """The library, for what needs no call too."""
        async with self._opening:
            if self._opened is None:
                # A third of a second at best: not while other calls wait.
                module = await asyncio.to_thread(importlib.import_module, "billing.stripe.sdk")
                self._opened = module.Opened(self.settings.key, self._transport, self._retries_max)
            assert self._opened is not None, "it is open now"
            return self._opened

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()
