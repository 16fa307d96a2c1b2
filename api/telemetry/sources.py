"""Where the numbers of fronts and of the control plane come from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

import sqlalchemy as sa

from api.audit_trail import Trail
from api.open_calls import OpenCalls
from billing.budgets.tables import DeliveryState, WebhookDelivery
from engine.measures import Reading
from tenancy import Database
from tenancy.mail.outbox import LetterState, PostedLetter
from tenancy.snapshot import SNAPSHOT_AGE_SECONDS_MAX, SnapshotView

COUNT_SECONDS = 15.0


class FrontNumbers:
    """What a door knows of itself."""

    def __init__(self, open_calls: OpenCalls, snapshot: SnapshotView, trail: Trail) -> None:
        self._open_calls = open_calls
        self._snapshot = snapshot
        self._trail = trail

    def readings(self) -> Iterator[Reading]:
        yield Reading("calls_open", {}, self._open_calls.count)
        yield Reading("audit_records_waiting", {}, self._trail.waiting_count)
        age_seconds = self._snapshot.staleness_seconds
        if math.isfinite(age_seconds):
            yield Reading("snapshot_age_seconds", {}, age_seconds)
        yield Reading("snapshot_age_max_seconds", {}, SNAPSHOT_AGE_SECONDS_MAX)


class CollectedAges:
    """How long ago each cell's facts were all in the ledger."""

    def __init__(
        self, cell_ids: Iterable[str], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._at = dict.fromkeys(cell_ids, monotonic())

    def collected(self, cell_id: str) -> None:
        self._at[cell_id] = self._monotonic()

    def readings(self) -> Iterator[Reading]:
        now = self._monotonic()
        for cell_id, at in self._at.items():
            yield Reading("usage_collected_age_seconds", {"cell": cell_id}, now - at)


class ControlPlaneNumbers:
    """What waits in the control plane's database, as it was when it was counted last."""

    def __init__(self, database: Database, ages: CollectedAges) -> None:
        self._database = database
        self._ages = ages
        self._letters = 0
        self._webhooks = 0

    async def count(self) -> float:
        """A step of upkeep. Raises DatabaseUnavailable."""
        letters = sa.select(sa.func.count()).where(PostedLetter.state == LetterState.WAITING)
        webhooks = sa.select(sa.func.count()).where(WebhookDelivery.state == DeliveryState.WAITING)
        async with self._database.reading() as session:
            self._letters = await session.scalar(letters) or 0
            self._webhooks = await session.scalar(webhooks) or 0
        return COUNT_SECONDS

    def readings(self) -> Iterator[Reading]:
        yield Reading("letters_waiting", {}, self._letters)
        yield Reading("webhooks_waiting", {}, self._webhooks)
        yield Reading("database_errors", {}, self._database.failure_count)
        yield from self._ages.readings()
