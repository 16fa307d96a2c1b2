"""Tasks that start in the reply to the call that caused them, instead of looking for a poller."""

from __future__ import annotations

from collections.abc import Container

from engine.cell.dispatch import Dispatcher, Started
from engine.cell.loaded_run import LoadedRun
from engine.cell.shard import Shard
from engine.history.state import RunState
from engine.history.transition import OfferActivityTask, OfferWorkflowTask
from engine.matching.task import PollerInfo


class Inline:
    """What the caller of one decision takes with it, as the poller of those tasks.

    That is any `workflow_task`, or one for its `sticky_queue`, and the activities of these ids.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        poller: PollerInfo,
        *,
        workflow_task: bool = False,
        sticky_queue: str = "",
        activity_ids: Container[str] = (),
    ) -> None:
        self._dispatcher = dispatcher
        self._poller = poller
        self._wants_workflow_task = workflow_task
        self._sticky_queue = sticky_queue
        self._activity_ids = activity_ids
        self._workflow_tasks: list[Started] = []
        self._activity_tasks: list[Started] = []

    def take(
        self, shard: Shard, run: LoadedRun, effect: OfferWorkflowTask | OfferActivityTask
    ) -> bool:
        """Start the task for the caller, if it wants it; part of the decision."""
        if isinstance(effect, OfferWorkflowTask):
            if not self._wants(run.state):
                return False
            started = self._dispatcher.begin_for(shard, run, effect, self._poller)
            taken = self._workflow_tasks
        else:
            activity = run.state.activities.get(effect.scheduled_event_id)
            if activity is None or activity.activity_id not in self._activity_ids:
                return False
            started = self._dispatcher.begin_for(shard, run, effect, self._poller)
            taken = self._activity_tasks
        if started is None:
            return False
        taken.append(started)
        return True

    def _wants(self, state: RunState) -> bool:
        """Whether the caller takes the run's workflow task, if there is one."""
        task = state.task
        if not task.scheduled_event_id or task.started_event_id:
            return False
        is_its_own = task.sticky and state.volatile.sticky_queue == self._sticky_queue
        return self._wants_workflow_task or is_its_own

    async def workflow_tasks(self) -> list[bytes]:
        """Serialized poll answers; asked for when the decision is durable."""
        return [await self._dispatcher.bytes_of(started) for started in self._workflow_tasks]

    async def activity_tasks(self) -> list[bytes]:
        return [await self._dispatcher.bytes_of(started) for started in self._activity_tasks]
