"""What the table of events says of each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from temporalio.api.history.v1 import HistoryEvent

from engine.history.state import RunState

if TYPE_CHECKING:
    from temporalio.api.enums.v1 import EventType


class EventKind(NamedTuple):
    """How an event is written and applied; one row per type of attributes.

    An event `from_outside` waits in the buffer while a workflow task is started.
    """

    event_type: EventType.ValueType
    field: str
    from_outside: bool
    apply: Callable[[RunState, HistoryEvent, Any], None]
