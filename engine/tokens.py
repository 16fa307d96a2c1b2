"""What the engine's opaque tokens hold. Tokens are sealed, so their content is trusted."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from engine.errors import InvalidArgument
from engine.sealing import Sealer, UnsealError


class WorkflowTaskToken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A started workflow task. No epoch, no expiry: it outlives the server's restarts."""

    namespace_id: str
    workflow_id: str
    run_id: str
    scheduled_event_id: int
    started_event_id: int
    attempt: int
    started_at_ns: int


class ActivityTaskToken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A started attempt of an activity."""

    namespace_id: str
    workflow_id: str
    run_id: str
    scheduled_event_id: int
    attempt: int
    started_at_ns: int


class QueryTaskToken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A query that was handed to a worker alone."""

    namespace_id: str
    workflow_id: str
    run_id: str
    query_id: str


class HistoryPageToken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a history listing goes on. `next_event_id` is the first event not yet given."""

    namespace_id: str
    workflow_id: str
    run_id: str
    next_event_id: int


class VisibilityPageToken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a list goes on; `query_hash` ties it to the query it was made for."""

    namespace_id: str
    query_hash: int
    close_at_ns: int
    start_at_ns: int
    run_id: str


class SummaryPageToken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a listing of run summaries goes on: behind `run_id`."""

    namespace_id: str
    run_id: str


class TaskQueuePageToken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a listing of task queues goes on: behind this name and type."""

    namespace_id: str
    name: str
    type: int


Token = TypeVar(
    "Token",
    WorkflowTaskToken,
    ActivityTaskToken,
    QueryTaskToken,
    HistoryPageToken,
    VisibilityPageToken,
    SummaryPageToken,
    TaskQueuePageToken,
)

_encoder = msgspec.msgpack.Encoder()


class Tokens:
    """Seals and opens tokens; each type has its own purpose, so none passes for another."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._opened: tuple[type[msgspec.Struct], bytes, Any] = (msgspec.Struct, b"", None)
        """The last token, because a call is routed by its token before it is handled."""

    def seal(self, token: msgspec.Struct) -> bytes:
        return self._sealer.seal(type(token).__name__.encode(), _encoder.encode(token))

    def open(self, kind: type[Token], sealed: bytes, field: str, namespace_id: str) -> Token:
        """The token in `field` of a request. Raises InvalidArgument where it is not from here.

        A token of another namespace is refused like an invented one: it exists for its own alone.
        """
        if self._opened[:2] == (kind, sealed):
            token: Token | None = self._opened[2]
        else:
            token = self._unseal(kind, sealed)
            self._opened = (kind, sealed, token)
        if token is None or token.namespace_id != namespace_id:
            raise InvalidArgument(f"{field} is not a token of this namespace", field)
        return token

    def _unseal(self, kind: type[Token], sealed: bytes) -> Token | None:
        try:
            content = self._sealer.unseal(kind.__name__.encode(), sealed)
        except UnsealError:
            return None
        return msgspec.msgpack.decode(content, type=kind)
