"""What the door did for each namespace: calls, refusals and how long they took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest

from api.catalogue import CATALOGUE, POLL_SECONDS
from api.dispatch import CellRpc
from engine.call import Call
from engine.errors import EngineError, ResourceExhausted
from engine.handlers.handler import WORKFLOW_SERVICE
from engine.measures import Window, Windows

CellLookup = Callable[[str], CellRpc]

_POLLS = {name for name, row in CATALOGUE.items() if row.timeout_seconds == POLL_SECONDS}
_HISTORY = WORKFLOW_SERVICE + "GetWorkflowExecutionHistory"
_HISTORY_POLL = "PollWorkflowExecutionHistory"
"""What the field calls a reading of a history that waits for more of it."""
_OPERATIONS = {name: name.rpartition(".")[2] for name in CATALOGUE}


class Traffic:
    """Counts what authorized callers ask of cells; whoever is refused at the door counts nothing.

    So nobody sees, or moves, the numbers of a namespace that is not theirs.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._windows = Windows(monotonic)
        self._pending: Counter[tuple[str, str]] = Counter()

    def last(self, namespace_id: str) -> Window:
        """The last full minute."""
        return self._windows.last(namespace_id)

    def pending(self, namespace_id: str) -> dict[str, int]:
        """Polls that wait now, by operation."""
        return {
            operation: count
            for (id, operation), count in self._pending.items()
            if id == namespace_id
        }

    def through(self, cells: CellLookup) -> CellLookup:
        """The same cells, with each call counted."""
        return lambda cell_id: partial(self._call, cells(cell_id))

    async def _call(self, cell: CellRpc, method: str, request: bytes, call: Call) -> bytes:
        namespace_id = call.namespace_id
        if not namespace_id:
            return await cell(method, request, call)
        operation = _OPERATIONS[method]
        if method in _POLLS:
            return await self._poll(operation, cell(method, request, call), namespace_id)
        if method == _HISTORY and _waits(request):
            return await self._poll(_HISTORY_POLL, cell(method, request, call), namespace_id)
        began = self._monotonic()
        try:
            return await cell(method, request, call)
        except EngineError as error:
            self._refused(namespace_id, operation, error)
            raise
        finally:
            now = self._monotonic()
            # How many there were follows from how long they took.
            self._windows.of(namespace_id, now).took(("service_latency", operation), now - began)

    async def _poll(self, operation: str, poll: Awaitable[bytes], namespace_id: str) -> bytes:
        """It waits on purpose, so how long says nothing."""
        self._windows.of(namespace_id).count(("service_request", operation))
        waiting = (namespace_id, operation)
        self._pending[waiting] += 1
        try:
            return await poll
        except EngineError as error:
            self._refused(namespace_id, operation, error)
            raise
        finally:
            self._pending[waiting] -= 1
            if not self._pending[waiting]:
                del self._pending[waiting]

    def _refused(self, namespace_id: str, operation: str, error: EngineError) -> None:
        window = self._windows.of(namespace_id)
        window.count(("service_error", operation))
        if isinstance(error, ResourceExhausted):
            window.count(("resource_exhausted", operation))


def _waits(request: bytes) -> bool:
    return GetWorkflowExecutionHistoryRequest.FromString(request).wait_new_event
