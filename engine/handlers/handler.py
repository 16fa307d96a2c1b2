"""What the table of RPCs says of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from google.protobuf.message import Message

from engine.call import Call
from engine.cell.services import Services
from engine.env import Env

WORKFLOW_SERVICE = "temporal.api.workflowservice.v1.WorkflowService."
OPERATOR_SERVICE = "temporal.api.operatorservice.v1.OperatorService."
TASK_SERVICE = "perdure.api.v1.TaskService."
CELL_SERVICE = "perdure.api.v1.CellService."

Shard = Callable[[Services, Any, Call], int | None]
Handle = Callable[[Services, Any, Call], Awaitable[Message | bytes]]


class Handler(NamedTuple):
    """One RPC: how its request is read, which shard's owner answers it, and how.

    `shard` gives None where any node can answer. `complete` fills in what a client may leave out
    but a repetition needs (request ids); it says whether it changed the request. A `handle` that
    gives bytes gives a serialized response. `in_namespace` is false for calls about the cell.
    """

    method: str
    request: type[Message]
    shard: Shard
    handle: Handle
    complete: Callable[[Any, Env], bool] | None = None
    in_namespace: bool = True


def anywhere(services: Services, request: object, call: Call) -> None:
    """Any node can answer."""
    return None
