"""Queries that wait for a worker's answer. They live in memory: a query changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from temporalio.api.common.v1 import Payloads
from temporalio.api.query.v1 import WorkflowQuery

from engine.errors import QueryFailed


@dataclass(slots=True)
class PendingQuery:
    """A query and its caller. A `direct` one travels alone, in a task of its own."""

    query_id: str
    query: WorkflowQuery
    answer: asyncio.Future[Payloads]
    direct: bool = False

    def answering(self, result: Payloads) -> Callable[[], None]:
        """An action that gives the caller its result."""

        def act() -> None:
            if not self.answer.done():
                self.answer.set_result(result)

        return act

    def refusing(self, message: str, failure: bytes) -> Callable[[], None]:
        """An action that tells the caller why there is none."""

        def act() -> None:
            if not self.answer.done():
                self.answer.set_exception(QueryFailed(message or "query failed", failure))

        return act


class QueryRegistry:
    """The queries of one run that wait for an answer."""

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending: dict[str, PendingQuery] = {}

    def add(self, query: PendingQuery) -> None:
        self.pending[query.query_id] = query

    def take(self, query_id: str) -> PendingQuery | None:
        """The query, no longer pending; None when nobody waits any more."""
        return self.pending.pop(query_id, None)

    def to_send(self) -> dict[str, WorkflowQuery]:
        """The queries that the workflow task now handed out carries."""
        return {query.query_id: query.query for query in self.pending.values() if not query.direct}

    def send_alone(self) -> list[PendingQuery]:
        """The queries that nothing carries; from now on they travel alone."""
        alone = [query for query in self.pending.values() if not query.direct]
        for query in alone:
            query.direct = True
        return alone

    def fail(self, error: Exception) -> None:
        pending, self.pending = self.pending, {}
        for query in pending.values():
            if not query.answer.done():
                query.answer.set_exception(error)
