"""Which run a call means: a run id, the current run, or the chain that began with a run."""

from __future__ import annotations

from temporalio.api.common.v1 import WorkflowExecution

from engine.call import Call
from engine.cell.loaded_run import LoadedRun
from engine.cell.services import Services
from engine.cell.shard import Shard
from engine.errors import NotFound


async def addressed(
    services: Services, call: Call, execution: WorkflowExecution, first_run_id: str
) -> tuple[Shard, LoadedRun]:
    """The run named; with `first_run_id` the current run, if its chain began there."""
    named = "" if first_run_id else execution.run_id
    shard, run = await services.run(call.namespace_id, execution.workflow_id, named)
    if first_run_id and run.state.run.first_run_id != first_run_id:
        raise NotFound(
            f"workflow not found for ID: {execution.workflow_id}", first_run_id=first_run_id
        )
    return shard, run
