"""Replays recorded histories, to see whether changed code still fits them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from perdure.converter import DataConverter
from perdure.exceptions import PerdureError
from perdure.execution import WorkflowHistory
from perdure.runtime.instance import WorkflowInstance
from perdure.runtime.run import WorkflowInfo
from perdure.worker.registry import workflows_by_name


class Replayer:
    """Runs workflow code against histories without any server."""

    def __init__(self, *, workflows: Sequence[type], data_converter: DataConverter | None = None):
        self._definitions = workflows_by_name(workflows)
        self._converter = data_converter or DataConverter()

    async def replay_workflow(self, history: WorkflowHistory) -> None:
        """Replay one history; raises NondeterminismError, or what the workflow code raises."""
        await asyncio.to_thread(self._replay, history)

    def _replay(self, history: WorkflowHistory) -> None:
        started = history.events[0]["workflowExecutionStartedEventAttributes"]
        name = started["workflowType"]["name"]
        if name not in self._definitions:
            raise PerdureError(f"workflow {name!r} is not among the replayer's workflows")
        info = WorkflowInfo(
            namespace="replay",
            workflow_id=history.workflow_id,
            run_id=history.run_id,
            workflow_type=name,
            task_queue=started.get("taskQueue", {}).get("name", ""),
        )
        instance = WorkflowInstance(self._definitions[name], info, self._converter)
        try:
            instance.feed(history.events, started_event_id=0)
            instance.finish_replay()
        finally:
            instance.evict()
