"""What waits in a task queue: a name for a task that the shard of its run can start."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

QueueKind = Literal["workflow", "activity"]
TaskKind = Literal["workflow", "activity", "query"]


class QueueKey(NamedTuple):
    """Names one task queue of a namespace; workflow and activity tasks never mix."""

    namespace_id: str
    name: str
    kind: QueueKind


class TaskRef(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A task to start at its run's shard. It holds no state, so a stale one is only dropped.

    `query_id` names a query that travels alone; for the other kinds it is empty.
    """

    namespace_id: str
    workflow_id: str
    run_id: str
    kind: TaskKind
    scheduled_event_id: int = 0
    attempt: int = 0
    query_id: str = ""
    priority: bytes = b""
    """A serialized `Priority`, empty for the default."""


class PollerInfo(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Who takes the task. `request_id` makes a repeated start give the same answer."""

    identity: str
    request_id: str
    sticky: bool = False
