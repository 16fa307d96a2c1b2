"""The activity that a worker's call is about."""

from __future__ import annotations

from typing import Any

from engine.call import Call
from engine.cell.loaded_run import LoadedRun
from engine.cell.services import Services
from engine.cell.shard import Shard
from engine.handlers import checks
from engine.handlers.started_task import activity_by_id, started_activity
from engine.history.state import Activity
from engine.tokens import ActivityTaskToken

Target = tuple[Shard, LoadedRun, Activity]


async def by_token(services: Services, request: Any, call: Call) -> Target:
    """The started attempt that `task_token` names. Raises NotFound when it is over."""
    checks.identifier("identity", request.identity, required=False)
    token = services.tokens.open(
        ActivityTaskToken, request.task_token, "task_token", call.namespace_id
    )
    shard, run = await services.run(call.namespace_id, token.workflow_id, token.run_id)
    return shard, run, started_activity(run, token)


async def by_id(services: Services, request: Any, call: Call, *, started: bool) -> Target:
    """The pending activity `activity_id` of a workflow. Raises NotFound."""
    checks.identifier("identity", request.identity, required=False)
    checks.identifier("activity_id", request.activity_id)
    shard, run = await services.run(call.namespace_id, request.workflow_id, request.run_id)
    return shard, run, activity_by_id(run, request.activity_id, started=started)
