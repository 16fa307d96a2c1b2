"""Starting workflows of the system namespace, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from perdure import Client
from perdure.exceptions import WorkflowAlreadyStartedError
from perdure.policies import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

TASK_QUEUE = "control-plane"
START_SECONDS_MAX = 2.0

ReadyClient = Callable[[], Client | None]
"""A client of the system namespace; None while it does not answer."""


async def start_once(
    client: Client, workflow: Callable[..., Any], *values: str, id: str, cron: str | None = None
) -> None:
    """Sees to it that the workflow runs or has completed. Raises RPCError, TimeoutError.

    One that an operator ended, or a defect, is begun again.
    """
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            await client.start_workflow(
                workflow,
                args=values,
                id=id,
                task_queue=TASK_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                cron_schedule=cron,
            )
    except WorkflowAlreadyStartedError:
        return
