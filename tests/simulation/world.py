"""One seed: a cell of nodes, its clients and workers, misfortune, healing, and what is left."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    StartWorkflowExecutionRequest,
)

from engine.env import Env
from engine.errors import EngineError
from engine.history.protobuf import parse_events
from engine.history.state import RunState, decode
from engine.metering.facts import unfold
from engine.metering.summary import RunSummary, decode_summary, summarize
from engine.node import Node, NodeConfig
from engine.peer import Peer
from engine.persistence.protocols import RunKey, Store
from engine.protocol.cell_pb2 import DeleteNamespaceRequest, PutNamespaceRequest
from tests.simulation.batches import BatchWorker
from tests.simulation.calls import Caller, Namespace, answer_of
from tests.simulation.clients import TASK_QUEUE_COUNT, Client, read_history
from tests.simulation.cluster import Cluster
from tests.simulation.disk import SimDisk, run_now
from tests.simulation.history_log import Finding, Record, Task
from tests.simulation.loop import SimLoop, SimulationError, run
from tests.simulation.programs import UNATTENDED_QUEUE, Program, Step, payloads
from tests.simulation.swarm import Swarm
from tests.simulation.workers import ActivityWorker, WorkflowWorker

NAMESPACES = (Namespace("namespace-a", "orders.acme"), Namespace("namespace-b", "orders.bolt"))
DOOMED = Namespace("namespace-c", "orders.closing")
"""It is deleted while it is used."""

LIVENESS_SECONDS = 240.0
LOOK_SECONDS = 1.0
BATCH_WORKER_SHARE = 0.7
REJOIN_SECONDS = 10.0
"""How long a node may take to be part of the cell again; a lease lasts half of it."""

PURGE_SECONDS = 120.0
"""How long after everything else is done a deleted namespace may still have rows."""

HISTORY_BYTES_MAX = 1 << 40
SUMMARY_COUNT_MAX = 1 << 30
HISTORY_EVENT_ID_MAX = 1 << 40
CELL_SERVICE = "perdure.api.v1.CellService"

EXPECTED_LOGS = frozenset(
    {
        "commit_replayed",
        "completion_failed",
        "due_run_not_loaded",
        "offer_again_failed",
        "purge_failed",
        "run_parked",
        "store_failed",
    }
)
"""What is logged when a store or the network fails; anything else is a finding.

What a failed completion says is judged where its caller reads it.
"""


@dataclass(slots=True)
class Seed:
    """What is left of a seed when it is over."""

    swarm: Swarm
    record: Record
    trace: str
    step_count: int
    seconds: float
    cluster: Cluster


class World:
    """The parts of one seed while it runs."""

    def __init__(self, swarm: Swarm, store: type[SimDisk]) -> None:
        self.swarm = swarm
        self.loop = SimLoop(swarm.seed, in_order=swarm.in_order)
        self.cluster = Cluster(self.loop, swarm, self._make_node, store)
        self.record = self.cluster.record
        doomed = (DOOMED,) if "purge" in swarm.features else ()
        self.namespaces = NAMESPACES[: swarm.namespace_count] + doomed
        self.record.namespaces = {space.name: space.id for space in self.namespaces}
        self.setup = Caller(self.cluster, "setup")
        self.pollers: list[asyncio.Task[None]] = []
        self.workers: list[WorkflowWorker] = []

    def _make_node(self, name: str, env: Env, store: Store, peer: Peer) -> Node:
        key = random.Random(f"{self.swarm.seed}/key").randbytes(32)
        return Node(name, env, store, peer, NodeConfig(self.swarm.shard_count, {1: key}, 1))

    def run(self) -> None:
        run(self.loop, self.main())

    async def main(self) -> None:
        for name in self.cluster.names:
            self.cluster.start(name)
        await self._put_namespaces()
        self._start_workers()
        nemesis = self.loop.create_task(self.cluster.torment(), name="nemesis")
        async with asyncio.TaskGroup() as clients:
            if DOOMED in self.namespaces:
                clients.create_task(self._delete_namespace(DOOMED), name="delete-namespace")
            for number in range(self.swarm.client_count):
                name = f"client-{number}"
                client = Client(self.cluster, name, self.namespaces, self.workers)
                clients.create_task(client.live(), name=name)
        nemesis.cancel()
        self.cluster.heal()
        if off_seconds := self.record.clock_off_seconds_max:
            await self._find_forgotten_tasks()
            # What a clock that was ahead has put off comes when the others have caught up.
            await self.cluster.stay_down(off_seconds)
        is_hurt = bool(self.swarm.nemeses or self.swarm.sites)
        self.record.healed_at = self.loop.time() if is_hurt else 0.0
        await self._settle()
        if not self.record.findings:
            await self._prove_life()
            await self._read_back()
            await self._prove_deletion()
        for poller in self.pollers:
            poller.cancel()

    async def _put_namespaces(self) -> None:
        for space in self.namespaces:
            request = PutNamespaceRequest(id=space.id, name=space.name)
            request.workflow_execution_retention.FromSeconds(30 * 86_400)
            await self._set_up("PutNamespace", request, space)

    async def _delete_namespace(self, space: Namespace) -> None:
        await asyncio.sleep(self.setup.rng.random() * self.swarm.chaos_seconds)
        self.record.namespaces_deleted[space.id] = self.record.tick()
        await self._set_up("DeleteNamespace", DeleteNamespaceRequest(id=space.id), space)

    async def _set_up(self, method: str, request: Message, space: Namespace) -> None:
        """Calls the cell's own service until it has answered."""
        while True:
            path = f"{CELL_SERVICE}.{method}"
            done = await self.setup.attempt(path, request, space, identity="setup")
            if done.outcome == "ok":
                return
            if done.outcome == "refused":
                raise SimulationError(f"{method}: {done.error}")
            await asyncio.sleep(LOOK_SECONDS)

    def _start_workers(self) -> None:
        """Every queue has a worker for each kind of task; the rest goes where chance wills."""
        rng = random.Random(f"{self.swarm.seed}/workers")
        queues = [f"queue-{number}" for number in range(TASK_QUEUE_COUNT)]
        for space in self.namespaces:
            for number in range(max(self.swarm.worker_count, TASK_QUEUE_COUNT)):
                queue = queues[number] if number < TASK_QUEUE_COUNT else rng.choice(queues)
                name = f"{space.id}-{number}"
                activities = ActivityWorker(self.cluster, f"activities-{name}", space, queue)
                workflows = WorkflowWorker(self.cluster, f"workflows-{name}", activities)
                self.workers.append(workflows)
                worker: WorkflowWorker | BatchWorker = workflows
                if "batches" in self.swarm.features and rng.random() < BATCH_WORKER_SHARE:
                    worker = BatchWorker(workflows, activities)
                self._spawn(worker.poll(sticky=False), f"poll-{name}")
                if workflows.sticky:
                    self._spawn(worker.poll(sticky=True), f"poll-sticky-{name}")
                if worker is workflows:
                    for slot in range(2):
                        self._spawn(activities.poll(), f"poll-activities-{name}-{slot}")

    def _spawn(self, work: object, name: str) -> None:
        self.pollers.append(self.loop.create_task(work, name=name))  # type: ignore[arg-type]

    async def _find_forgotten_tasks(self) -> None:
        """With all nodes well no first attempt waits for long where workers poll."""
        await asyncio.sleep(REJOIN_SECONDS)
        before = set(self._waiting_tasks())
        await asyncio.sleep(REJOIN_SECONDS)
        for task in self._waiting_tasks():
            if task in before:
                self.record.findings.append(Finding("I28", f"{task} finds no worker"))

    def _waiting_tasks(self) -> Iterator[Task]:
        for state in self._states():
            if state.key.namespace_id in self.record.namespaces_deleted:
                continue
            task = state.task
            if task.scheduled_event_id and not task.started_event_id and task.attempt == 1:
                yield Task(state.key, str(task.scheduled_event_id), task.attempt)
            for activity in state.activities.values():
                attempt = activity.attempt
                is_waiting = attempt.number == 1 and not attempt.started_at_ns
                if is_waiting and activity.task_queue != UNATTENDED_QUEUE:
                    yield Task(state.key, activity.activity_id, attempt.number)

    async def _settle(self) -> None:
        """Waits until every run is closed; what is open after a long time is stuck."""
        limit = self.loop.time() + LIVENESS_SECONDS
        while stuck := [state for state in self._states() if state.is_open]:
            if self.loop.time() > limit:
                for state in stuck:
                    self.record.findings.append(Finding("I28", _describe(state)))
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _prove_life(self) -> None:
        """After the healing every node takes a new workflow to its end."""
        await asyncio.sleep(REJOIN_SECONDS)
        space = self.namespaces[0]
        for name in self.cluster.names:
            request = StartWorkflowExecutionRequest(
                namespace=space.name,
                workflow_id=f"alive-{name}",
                identity=f"alive-{name}",
                request_id=f"alive-{name}",
                input=payloads(Program([Step("timers", seconds=0.1)])),
            )
            request.workflow_type.name = "program"
            request.task_queue.name = "queue-0"
            started = await self.setup.attempt(
                "StartWorkflowExecution", request, space, identity=f"alive-{name}", node=name
            )
            if started.outcome != "ok":
                text = f"{name} does not answer after the healing: {started.error}"
                self.record.findings.append(Finding("I43", text))
        await self._settle()

    async def _prove_deletion(self) -> None:
        """Of a deleted namespace nothing stays, and no node takes it for one that exists."""
        limit = self.loop.time() + PURGE_SECONDS
        for space in self.namespaces:
            if space.id not in self.record.namespaces_deleted:
                continue
            while left := await self._what_is_left_of(space):
                if self.loop.time() > limit:
                    self.record.findings.append(Finding("I32", left))
                    return
                await asyncio.sleep(LOOK_SECONDS)

    async def _what_is_left_of(self, space: Namespace) -> str:
        """What still tells of a deleted namespace; empty when nothing does."""
        keys = [key for key in self._stored_keys() if key.namespace_id == space.id]
        if keys:
            return f"{len(keys)} runs of {space.id} are left: {keys[0]}"
        for name in self.cluster.names:
            request = ListWorkflowExecutionsRequest(namespace=space.name)
            asked = await self.setup.attempt("ListWorkflowExecutions", request, space, node=name)
            if not self.setup.has_no_namespace(asked, space):
                return f"{name} answers for {space.id}, which is deleted: {asked.error}"
        return ""

    async def _read_back(self) -> None:
        """Reads every history and list once more the way clients do."""
        for key in self._stored_keys():
            if key.namespace_id in self.record.namespaces_deleted:
                continue
            space = next(space for space in self.namespaces if space.id == key.namespace_id)
            execution = WorkflowExecution(workflow_id=key.workflow_id, run_id=key.run_id)
            page_size = self.setup.rng.choice((0, 2))
            if not await read_history(self.setup, space, execution, page_size=page_size):
                self.record.findings.append(Finding("I43", f"history of {key} cannot be read"))
        for space in self.namespaces:
            if space.id not in self.record.namespaces_deleted:
                await self._list(space)

    async def _list(self, space: Namespace) -> None:
        request = ListWorkflowExecutionsRequest(namespace=space.name, page_size=7)
        while True:
            listed = await self.setup.insist("ListWorkflowExecutions", request, space)
            if listed.outcome != "ok":
                self.record.findings.append(Finding("I43", f"no list: {listed.error}"))
                return
            answer = answer_of(listed, ListWorkflowExecutionsResponse)
            for found in answer.executions:
                run = found.execution
                key = RunKey(space.id, run.workflow_id, run.run_id)
                self.record.listed.append((key, int(found.status)))
            request.next_page_token = answer.next_page_token
            if not answer.next_page_token:
                return

    def _keys(self) -> list[RunKey]:
        keys = {write.key: None for c in self.record.commits if not c.fenced for write in c.runs}
        return list(keys)

    def _stored_keys(self) -> list[RunKey]:
        return [state.key for state in self._states()]

    def _states(self) -> list[RunState]:
        stored = run_now(self.cluster.disk.rows.load(self._keys()))
        return [decode(row) for row in stored if row is not None]

    def collect(self) -> None:
        """Takes what the store holds at the end into the record."""
        record, rows = self.record, self.cluster.disk.rows
        for state in self._states():
            batches = run_now(
                rows.read_history(state.key, 1, HISTORY_EVENT_ID_MAX, HISTORY_BYTES_MAX)
            )
            events: list[HistoryEvent] = parse_events(batch.blob for batch in batches)
            record.histories[state.key] = events
            record.states[state.key] = state
            record.summaries[state.key] = summarize(state)
        for key, deletion in record.deletions().items():
            # Of what was deleted nothing is left but the log of commits, and the summary.
            record.histories.setdefault(key, [event for _, _, event in record.written()[key]])
            run = deletion.state.run
            record.summaries[key] = RunSummary(run.workflow_type, run.task_queue, {})
        for namespace_id in record.namespaces.values():
            kept = run_now(rows.read_summaries(namespace_id, "", SUMMARY_COUNT_MAX))
            for key, summary in kept:
                if key not in record.states:
                    record.summaries[key] = decode_summary(summary)
        for row in run_now(rows.read_facts(0, 1 << 40)):
            record.facts += unfold(row.blob)


def run_seed(swarm: Swarm, store: type[SimDisk] = SimDisk) -> Seed:
    """Runs a seed to its end. What it did wrong is in `record.findings`, or for a checker."""
    world = World(swarm, store)
    with _logs_as_findings(world.record), closing(world.cluster.disk):
        for part in (world.run, world.collect):
            try:
                part()
            except (SimulationError, EngineError) as error:
                invariant = "liveness" if isinstance(error, SimulationError) else "I46"
                text = f"{type(error).__name__}: {error}"
                world.record.findings.append(Finding(invariant, text))
    for failure in world.loop.failures:
        world.record.findings.append(Finding("errors", failure))
    world.record.sometimes.update(
        {f"site {site}": count for site, count in world.cluster.buggify.counts.items()}
    )
    loop = world.loop
    return Seed(swarm, world.record, loop.trace, loop.step_count, loop.time(), world.cluster)


class _LogFindings(logging.Handler):
    def __init__(self, record: Record) -> None:
        super().__init__(logging.WARNING)
        self._record = record

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg in EXPECTED_LOGS:
            self._record.sometimes[f"logged {record.msg}"] += 1
            return
        cause = f" {record.exc_info[1]!r}" if record.exc_info else ""
        self._record.findings.append(Finding("errors", f"{record.msg} of {record.name}{cause}"))


@contextmanager
def _logs_as_findings(record: Record) -> Iterator[None]:
    """The engine's warnings belong to the seed, not to the test around it."""
    loggers = [logging.getLogger(name) for name in ("engine", "api")]
    were_propagated, handler = [logger.propagate for logger in loggers], _LogFindings(record)
    for logger in loggers:
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, was_propagated in zip(loggers, were_propagated, strict=True):
            logger.propagate = was_propagated
            logger.removeHandler(handler)


def _describe(state: RunState) -> str:
    task = state.task
    return (
        f"{state.key} is open: task {task.scheduled_event_id}/{task.started_event_id} "
        f"attempt {task.attempt}, activities {[a.attempt for a in state.activities.values()]}, "
        f"timers {list(state.timers.values())}, buffered {len(state.buffered)}, "
        f"next event {state.run.next_event_id}"
    )
