"""From a run that has a task to a worker that has it.

Where queue and run are owned here, a waiting poller is reserved and the task starts in the commit
that scheduled it. Elsewhere the task is offered to the queue's owner after the commit, who asks
for its start when a poller comes. Everything may be repeated: a task is named by what it is, and
a start by the request id of its poll.
"""

from __future__ import annotations

from typing import Protocol

from engine.cell import remote
from engine.cell.history_reader import HistoryReader
from engine.cell.loaded_run import LoadedRun
from engine.cell.namespaces import Namespaces
from engine.cell.shard import Shard
from engine.cell.task_answers import HistoryAnswer, TaskAnswers
from engine.env import Env
from engine.errors import EngineError, Unavailable
from engine.history import activity, workflow_task
from engine.history.protobuf import parse_events
from engine.history.state import Activity
from engine.history.transition import OfferActivityTask, OfferWorkflowTask
from engine.ids import shard_of
from engine.limits import HISTORY_PAGE_BYTES_MAX
from engine.matching.matching import Matching
from engine.matching.queue import Poller, TaskQueue
from engine.matching.task import PollerInfo, QueueKey, TaskRef
from engine.measures import Measures
from engine.persistence.protocols import RunKey

OFFER_AGAIN_SECONDS = 0.3
OFFER_COUNT_MAX = 100

# What a started task says: its bytes, or a history that is still to be read.
Started = bytes | HistoryAnswer


class Owners(Protocol):
    """Who holds which shard."""

    shard_count: int

    def owned(self, shard_id: int) -> Shard:
        """Raises Unavailable unless the shard is here."""

    def is_here(self, shard_id: int) -> bool: ...

    async def call(self, shard_id: int, method: str, payload: bytes) -> bytes:
        """Ask the shard's owner. Raises Unavailable, or the refusal of the other node."""

    def offer_again(self, home_shard: int) -> None:
        """Have every shard of the cell offer again what waits for queues of that home."""


class Dispatcher:
    """Offers tasks and starts them."""

    def __init__(
        self,
        env: Env,
        owners: Owners,
        namespaces: Namespaces,
        answers: TaskAnswers,
        history: HistoryReader,
        *,
        measures: Measures,
    ) -> None:
        self._env = env
        self._owners = owners
        self._namespaces = namespaces
        self._answers = answers
        self._history = history
        self.matching = Matching(env, owners.shard_count, self, self._refill, measures)

    def _refill(self, key: QueueKey) -> None:
        self._owners.offer_again(self.matching.home_shard(key))

    # --- offering -------------------------------------------------------------------------

    def offer(
        self, shard: Shard, run: LoadedRun, effect: OfferWorkflowTask | OfferActivityTask
    ) -> None:
        """Part of a decision: find a worker for what it scheduled."""
        if isinstance(effect, OfferWorkflowTask):
            # The same decision may have closed the run behind what it scheduled.
            if run.state.task.scheduled_event_id and not run.state.task.started_event_id:
                self._offer_workflow_task(shard, run)
            return
        pending = run.state.activities.get(effect.scheduled_event_id)
        if pending is None:
            return
        if effect.scheduled is not None:
            run.scheduled[effect.scheduled_event_id] = effect.scheduled
        task = _activity_ref(run, pending)
        self._offer(
            shard, run, QueueKey(run.key.namespace_id, pending.task_queue, "activity"), task
        )

    def offer_queries(self, shard: Shard, run: LoadedRun) -> None:
        """Queries that no workflow task carries travel alone, one task each."""
        if run.state.task.scheduled_event_id:
            return
        for query in run.queries.send_alone():
            ref = TaskRef(*run.key, "query", query_id=query.query_id)
            self._offer(shard, run, self._workflow_queue(run), ref)

    def offer_again(self, shard: Shard, run: LoadedRun, home_shard: int | None) -> None:
        """The run's waiting tasks, for queues whose owner forgot or never knew them."""
        state = run.state
        if state.task.scheduled_event_id and not state.task.started_event_id:
            if home_shard in (None, self.matching.home_shard(self._workflow_queue(run))):
                self._offer_workflow_task(shard, run)
        for pending in list(state.activities.values()):
            attempt = pending.attempt
            # Only a retry waits for its time: a first attempt from a clock ahead of ours is due.
            backs_off = attempt.number > 1 and attempt.scheduled_at_ns > self._env.now_ns()
            if attempt.started_at_ns or backs_off:
                continue
            key = QueueKey(run.key.namespace_id, pending.task_queue, "activity")
            if home_shard in (None, self.matching.home_shard(key)):
                task = _activity_ref(run, pending)
                self._offer(shard, run, key, task)

    def begin_for(
        self,
        shard: Shard,
        run: LoadedRun,
        effect: OfferWorkflowTask | OfferActivityTask,
        poller: PollerInfo,
    ) -> Started | None:
        """Part of a decision: start what it scheduled for its own caller."""
        if isinstance(effect, OfferWorkflowTask):
            task = run.state.task
            ref = _workflow_ref(run)
            poller = PollerInfo(poller.identity, poller.request_id, task.sticky)
            return self._begin_workflow_task(shard, run, ref, poller)
        if effect.scheduled is not None:
            run.scheduled[effect.scheduled_event_id] = effect.scheduled
        ref = _activity_ref(run, run.state.activities[effect.scheduled_event_id])
        return self._begin_activity_task(shard, run, ref, poller)

    async def bytes_of(self, started: Started) -> bytes:
        """A started task as a poll's serialized answer."""
        return (
            started if isinstance(started, bytes) else await self._answers.workflow_bytes(started)
        )

    def nobody_polls(self, key: QueueKey) -> bool:
        """Whether this node owns the queue and saw no poller lately."""
        home = self.matching.home_shard(key)
        return self._owners.is_here(home) and not self.matching.is_live(key)

    def accept(self, offer: remote.Offer) -> bool:
        """An offer of another node. False: nobody polls that sticky queue."""
        key = QueueKey(*offer.queue)
        if not self._owners.is_here(self.matching.home_shard(key)):
            raise Unavailable
        if offer.sticky and not self.matching.is_live(key):
            return False
        self.matching.queue(key).offer(offer.task)
        return True

    def _offer_workflow_task(self, shard: Shard, run: LoadedRun) -> None:
        state = run.state
        key = self._workflow_queue(run)
        if state.task.sticky and self.nobody_polls(key):
            workflow_task.use_normal_queue(state)
            key = self._workflow_queue(run)
        ref = _workflow_ref(run)
        self._offer(shard, run, key, ref)

    def _offer(self, shard: Shard, run: LoadedRun, key: QueueKey, task: TaskRef) -> None:
        if self._owners.is_here(self.matching.home_shard(key)):
            queue = self.matching.queue(key)
            poller = queue.reserve()
            if poller is not None:
                started = self._begin(shard, run, task, poller.starting())
                if started is not None:
                    queue.matched_at_once()
                    self._deliver_after_commit(shard, run, queue, poller, started)
                    return
                queue.give_back(poller)
        shard.after_commit(run, lambda: self._queue_up(shard, run, key, task))

    def _queue_up(self, shard: Shard, run: LoadedRun, key: QueueKey, task: TaskRef) -> None:
        """Have the task wait in its queue, which may have moved or been forgotten meanwhile."""
        if self._owners.is_here(self.matching.home_shard(key)):
            self.matching.queue(key).offer(task)
        else:
            self._offer_away(shard, run, key, task)

    def _deliver_after_commit(
        self, shard: Shard, run: LoadedRun, queue: TaskQueue, poller: Poller, started: Started
    ) -> None:
        def deliver() -> None:
            if isinstance(started, bytes):
                queue.deliver(poller, started)
                return
            answer = self._answers.workflow_bytes_now(started)
            if answer is not None:
                queue.deliver(poller, answer)
            else:
                self._env.spawn("deliver_task", self._deliver(queue, poller, started))

        shard.after_commit(run, deliver, lambda: queue.give_back(poller))

    async def _deliver(self, queue: TaskQueue, poller: Poller, started: HistoryAnswer) -> None:
        try:
            queue.deliver(poller, await self._answers.workflow_bytes(started))
        except EngineError:
            # The store cannot be read now: the task's timeout will bring it again.
            queue.give_back(poller)

    def _offer_away(self, shard: Shard, run: LoadedRun, key: QueueKey, task: TaskRef) -> None:
        self._env.spawn("offer_task", self._offer_until_taken(shard, run, key, task))

    async def _offer_until_taken(
        self, shard: Shard, run: LoadedRun, key: QueueKey, task: TaskRef
    ) -> None:
        """Repeat the offer until the queue's owner has it; its move makes us offer again."""
        sticky = task.kind != "activity" and key.name == run.state.volatile.sticky_queue
        payload = remote.encode(remote.Offer(key, task, sticky))
        home = self.matching.home_shard(key)
        for _ in range(OFFER_COUNT_MAX):
            if shard.lost or not run.has_waiting(task):
                return
            if self._owners.is_here(home):
                self._offer(shard, run, key, task)
                return
            try:
                reply = await self._owners.call(home, remote.OFFER, payload)
            except EngineError:
                await self._env.sleep(OFFER_AGAIN_SECONDS)
                continue
            if reply or not run.has_waiting(task):
                return
            if task.kind == "workflow":
                workflow_task.use_normal_queue(run.state)
                self._offer_workflow_task(shard, run)
            else:
                run.state.volatile.sticky_queue = ""
                self._offer(shard, run, self._workflow_queue(run), task)
            return

    def _workflow_queue(self, run: LoadedRun) -> QueueKey:
        state = run.state
        task = state.task
        sticky = state.volatile.sticky_queue
        if sticky and (task.sticky or not task.scheduled_event_id):
            key = QueueKey(run.key.namespace_id, sticky, "workflow")
            if task.scheduled_event_id or not self.nobody_polls(key):
                return key
        return QueueKey(run.key.namespace_id, state.run.task_queue, "workflow")

    # --- starting -------------------------------------------------------------------------

    def start_now(
        self, queue: TaskQueue, poller: Poller, info: PollerInfo, task: TaskRef
    ) -> bool | None:
        """Start a task whose run is in this node's memory; see `Starter`."""
        shard_id = self._shard_of(task)
        if not self._owners.is_here(shard_id):
            return None
        shard = self._owners.owned(shard_id)
        run = shard.held(RunKey(task.namespace_id, task.workflow_id, task.run_id))
        if run is None or not self._has_scheduled(run, task):
            return None
        started = self._begin(shard, run, task, info)
        if started is None:
            return False
        self._deliver_after_commit(shard, run, queue, poller, started)
        return True

    async def start(self, task: TaskRef, poller: PollerInfo) -> bytes:
        """Start a task for a poller of a queue of ours; b"" when the task is gone."""
        shard_id = self._shard_of(task)
        if self._owners.is_here(shard_id):
            return await self.start_here(task, poller)
        payload = remote.encode(remote.Start(task, poller))
        return await self._owners.call(shard_id, remote.START, payload)

    async def start_here(self, task: TaskRef, poller: PollerInfo) -> bytes:
        """The same at the run's shard."""
        shard = self._owners.owned(self._shard_of(task))
        run = await shard.find(RunKey(task.namespace_id, task.workflow_id, task.run_id))
        if run is None:
            return b""
        if not self._has_scheduled(run, task):
            await self._read_scheduled(run, task.scheduled_event_id)
        started = self._begin(shard, run, task, poller)
        if started is None:
            return b""
        await shard.durable(run)
        return await self.bytes_of(started)

    def _shard_of(self, task: TaskRef) -> int:
        return shard_of(task.namespace_id, task.workflow_id, self._owners.shard_count)

    def _begin(
        self, shard: Shard, run: LoadedRun, task: TaskRef, poller: PollerInfo
    ) -> Started | None:
        """Decide the start, or find that this poll started it already; None: it is gone."""
        if task.kind == "workflow":
            return self._begin_workflow_task(shard, run, task, poller)
        if task.kind == "activity":
            return self._begin_activity_task(shard, run, task, poller)
        query = run.queries.pending.get(task.query_id)
        if query is None or query.answer.done():
            return None
        return self._answers.query_task(run, query.query_id, query.query, sticky=poller.sticky)

    def _begin_workflow_task(
        self, shard: Shard, run: LoadedRun, ref: TaskRef, poller: PollerInfo
    ) -> Started | None:
        task = run.state.task
        same = (task.scheduled_event_id, task.attempt) == (ref.scheduled_event_id, ref.attempt)
        if task.started_event_id:
            if not same or task.request_id != poller.request_id:
                return None
        else:
            if not same or task.sticky != poller.sticky:
                return None
            t = shard.begin(run)
            workflow_task.start(t, poller.identity, poller.request_id)
            shard.record(run, t)
        return self._answers.workflow_task(run, sticky=poller.sticky)

    def _begin_activity_task(
        self, shard: Shard, run: LoadedRun, ref: TaskRef, poller: PollerInfo
    ) -> Started | None:
        pending = run.state.activities.get(ref.scheduled_event_id)
        if pending is None or pending.attempt.number != ref.attempt:
            return None
        scheduled = run.scheduled.pop(ref.scheduled_event_id, None)
        namespace = self._namespaces.known(run.key.namespace_id)
        if scheduled is None or namespace is None:
            return None
        if pending.attempt.started_at_ns:
            if pending.attempt.request_id != poller.request_id:
                return None
        else:
            t = shard.begin(run)
            pending = activity.start(t, pending, poller.identity, poller.request_id)
            shard.record(run, t)
        return self._answers.activity_task(run, pending, scheduled, namespace.name)

    def _has_scheduled(self, run: LoadedRun, task: TaskRef) -> bool:
        """Whether all that a start says of its activity is at hand."""
        if task.kind != "activity" or task.scheduled_event_id not in run.state.activities:
            return True
        known = self._namespaces.known(task.namespace_id) is not None
        return known and task.scheduled_event_id in run.scheduled

    async def _read_scheduled(self, run: LoadedRun, scheduled_event_id: int) -> None:
        """Have the activity's scheduled event at hand, and those of its neighbours."""
        await self._namespaces.get(run.key.namespace_id)
        if scheduled_event_id in run.scheduled:
            return
        last = run.state.run.next_event_id - 1
        blob, _ = await self._history.page(run, scheduled_event_id, last, HISTORY_PAGE_BYTES_MAX)
        for event in parse_events([blob]):
            if event.event_id in run.state.activities:
                run.scheduled[event.event_id] = event.activity_task_scheduled_event_attributes


def _workflow_ref(run: LoadedRun) -> TaskRef:
    state = run.state
    task = state.task
    return TaskRef(
        *run.key,
        "workflow",
        task.scheduled_event_id,
        task.attempt,
        priority=state.run.priority,
    )


def _activity_ref(run: LoadedRun, pending: Activity) -> TaskRef:
    return TaskRef(
        *run.key,
        "activity",
        pending.scheduled_event_id,
        pending.attempt.number,
        priority=pending.priority,
    )
