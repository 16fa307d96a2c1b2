"""The catalogue of our own task service."""

from __future__ import annotations

from collections.abc import Mapping

from api.catalogue.row import POLL_SECONDS, Row, cell
from tenancy import Access

_READ, _WORKER = Access.READ, Access.WORKER

ROWS: Mapping[str, Row] = {
    "PollTasks": cell(_WORKER, timeout_seconds=POLL_SECONDS),
    "CompleteTasks": cell(_WORKER),
    "ListTaskQueues": cell(_READ, _WORKER),
    "ListRunSummaries": cell(_READ),
}
