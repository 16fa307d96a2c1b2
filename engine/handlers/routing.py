"""How a request names the shard that answers it."""

from __future__ import annotations

from typing import Any, TypeVar

from engine.call import Call
from engine.cell.services import Services
from engine.env import Env
from engine.handlers import checks
from engine.handlers.handler import Shard
from engine.ids import shard_of
from engine.tokens import ActivityTaskToken, QueryTaskToken, WorkflowTaskToken

REQUEST_ID_BYTES = 16


def by_workflow_id(services: Services, request: Any, call: Call) -> int:
    """`workflow_id` of the request itself."""
    checks.identifier("workflow_id", request.workflow_id)
    return _shard(services, call, request.workflow_id)


def by_execution(field: str) -> Shard:
    """`workflow_id` of the execution in `field`."""

    def shard(services: Services, request: Any, call: Call) -> int:
        execution = getattr(request, field)
        checks.identifier(f"{field}.workflow_id", execution.workflow_id)
        checks.run_id(f"{field}.run_id", execution.run_id)
        return _shard(services, call, execution.workflow_id)

    return shard


def by_task_queue(services: Services, request: Any, call: Call) -> int:
    """The home shard of the task queue."""
    checks.identifier("task_queue.name", request.task_queue.name)
    return _shard(services, call, request.task_queue.name)


Token = TypeVar("Token", WorkflowTaskToken, ActivityTaskToken, QueryTaskToken)


def by_token(kind: type[Token]) -> Shard:
    """The workflow id in the task token."""

    def shard(services: Services, request: Any, call: Call) -> int:
        token = services.tokens.open(kind, request.task_token, "task_token", call.namespace_id)
        return _shard(services, call, token.workflow_id)

    return shard


def fill_request_id(request: Any, env: Env) -> bool:
    """Name the request, so that its repetition between nodes is no second one."""
    checks.identifier("request_id", request.request_id, required=False)
    if request.request_id:
        return False
    request.request_id = env.token_bytes(REQUEST_ID_BYTES).hex()
    return True


def _shard(services: Services, call: Call, name: str) -> int:
    return shard_of(call.namespace_id, name, services.directory.shard_count)
