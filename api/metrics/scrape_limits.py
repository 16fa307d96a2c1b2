"""How often an account may ask for its metrics."""

from __future__ import annotations

import math
from collections.abc import Callable

from tenancy import RateLimited

SCRAPES_PER_HOUR_MAX = 180
SCRAPES_AT_ONCE_MAX = 20

_SECONDS_EACH = 3_600 / SCRAPES_PER_HOUR_MAX


class ScrapeLimits:
    """Each account has some scrapes at hand, and gets one more every twenty seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._all_back_at: dict[str, float] = {}
        """When an account, if it asks no more, has as many as it may have."""

    def admit(self, account_id: str) -> None:
        """Counts one scrape, or raises RateLimited and counts none."""
        now = self._monotonic()
        back_at = max(self._all_back_at.get(account_id, now), now) + _SECONDS_EACH
        wait_seconds = back_at - now - SCRAPES_AT_ONCE_MAX * _SECONDS_EACH
        if wait_seconds > 0:
            raise RateLimited(retry_after_seconds=math.ceil(wait_seconds))
        # Those who have all that they may have are as good as unknown.
        for known in [id for id, at in self._all_back_at.items() if at <= now]:
            del self._all_back_at[known]
        self._all_back_at[account_id] = back_at
