"""How clients and workers reach the cell: at a random node, again where no answer came."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, cast

import temporalio.api.workflowservice.v1 as workflowservice
from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent

from api.complete_tasks import offering_complete_tasks
from engine.call import Call
from engine.errors import EngineError, StartRefused
from engine.node import Node
from engine.persistence.protocols import RunKey
from engine.protocol import cell_pb2, tasks_pb2
from tests.simulation.cluster import Cluster
from tests.simulation.history_log import UNKNOWN_ERRORS, Finding, Handed, Operation, Read, Task
from tests.simulation.network import CLIENTS, Lost

M = TypeVar("M", bound=Message)

WORKFLOW_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
STARTS = (
    workflowservice.StartWorkflowExecutionRequest,
    workflowservice.SignalWithStartWorkflowExecutionRequest,
)
BUG_ERRORS = frozenset({"Internal", "DataLoss"})
CALL_SECONDS = 5.0
GRACE_SECONDS = 1.0
"""How much longer than the server the caller waits."""

EMPTY_POLL_PAUSE_SECONDS = 0.2
ATTEMPT_COUNT_MAX = 8
RETRY_PAUSE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace of the simulated cell."""

    id: str
    name: str


class Bundle(Protocol):
    """Carries calls of some methods together, in one call of another."""

    def takes(self, method: str) -> bool:
        """Whether calls of `method` go with it."""

    async def carry(self, operation: Operation) -> None:
        """Return when the outcome of the operation is noted."""


class Caller:
    """Calls the cell for one client or worker and writes every attempt into the record."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.record = cluster.record
        self.name = name
        self.rng = random.Random(f"{cluster.swarm.seed}/{name}")
        self.bundle: Bundle | None = None
        self.restricted_share = 0.0
        """How many of the starts come from a namespace that may begin no run just then."""
        self._identity_count = 0

    def identity(self) -> str:
        """A new name for an intention: a request id, an identity."""
        self._identity_count += 1
        return f"{self.name}.{self._identity_count}"

    async def attempt(
        self,
        method: str,
        request: Message,
        namespace: Namespace,
        *,
        identity: str = "",
        task: Task | None = None,
        node: str = "",
        seconds: float = CALL_SECONDS,
    ) -> Operation:
        """One try of `method`, at `node` or a random one."""
        operation = Operation(
            method=method.rpartition(".")[2],
            namespace=namespace.name,
            identity=identity,
            request=request,
            invoked=self.record.tick(),
            invoked_at=self.cluster.loop.time(),
            task=task,
        )
        self.record.operations.append(operation)
        if self.bundle is not None and self.bundle.takes(method):
            await self.bundle.carry(operation)
            return operation
        path = method if "." in method else f"{WORKFLOW_SERVICE}.{method}"
        call = Call(namespace.id, namespace.name, self.name, seconds)
        if isinstance(request, STARTS) and self.rng.random() < self.restricted_share:
            call, operation.may_start = call.without_starts(), False
        await self._send(operation, path, call, node or self.rng.choice(self.cluster.names))
        return operation

    async def _send(self, operation: Operation, path: str, call: Call, target: str) -> None:
        encoded = operation.request.SerializeToString()
        name, seconds = operation.method, call.timeout_seconds

        def work(server: Node) -> Awaitable[bytes]:
            return offering_complete_tasks(server.call)(path, encoded, call)

        try:
            answer = await self.cluster.net.call(CLIENTS, target, work, seconds + GRACE_SECONDS)
        except Lost as error:
            operation.error = f"Lost: {error}"
        except EngineError as error:
            operation.run_id = str(error.ids.get("run_id") or getattr(error, "run_id", ""))
            self.record.sometimes["a start was restricted"] += isinstance(error, StartRefused)
            self.note_refusal(operation, type(error).__name__, str(error))
        except Exception as error:
            operation.error = f"{type(error).__name__}: {error}"
            self.record.findings.append(Finding("errors", f"{name} raised {error!r}"))
        else:
            operation.outcome = "ok"
            operation.response = RESPONSES[name].FromString(answer)
        operation.returned = self.record.tick()
        operation.returned_at = self.cluster.loop.time()

    def note_refusal(self, operation: Operation, kind: str, text: str) -> None:
        """Notes an error of the cell as the outcome; some errors leave it unknown."""
        operation.error = f"{kind}: {text}"
        operation.outcome = "unknown" if kind in UNKNOWN_ERRORS else "refused"
        # A run that the store refuses twice is parked, which is said as an error of the cell.
        is_parked = self.cluster.buggify.counts.get("commit.rejected")
        if kind in BUG_ERRORS and not is_parked:
            found = f"{operation.method} of {operation.identity}: {operation.error}"
            self.record.findings.append(Finding("errors", found))

    async def insist(
        self,
        method: str,
        request: Message,
        namespace: Namespace,
        *,
        identity: str = "",
        task: Task | None = None,
    ) -> Operation:
        """Tries until there is a definite answer, as SDKs do, but not for ever."""
        for number in range(ATTEMPT_COUNT_MAX):
            operation = await self.attempt(method, request, namespace, identity=identity, task=task)
            if operation.outcome != "unknown" or self.cluster.buggify("client.gives_up"):
                break
            self.record.sometimes[f"a call was retried after {operation.error.split(':')[0]}"] += 1
            await asyncio.sleep(RETRY_PAUSE_SECONDS * (number + 1) * self.rng.random())
        return operation

    async def pause(self) -> None:
        """Waits before the next poll; while no node runs, until some do."""
        down_seconds = self.cluster.down_until - self.cluster.loop.time()
        await asyncio.sleep(max(EMPTY_POLL_PAUSE_SECONDS, down_seconds))

    def has_no_namespace(self, operation: Operation, namespace: Namespace) -> bool:
        """Whether the namespace is gone, so that nobody need ask again."""
        is_missing = operation.error.startswith("NamespaceNotFound")
        return is_missing and namespace.id in self.record.namespaces_deleted

    def got(self, kind: Literal["workflow", "activity"], task: Task) -> None:
        """Notes a task that reached this worker."""
        self.record.handed.append(Handed(self.record.tick(), kind, task))

    def saw(self, namespace: Namespace, run: WorkflowExecution, events: list[HistoryEvent]) -> None:
        """Notes events that a response showed, without those of a transient workflow task.

        They get their final form when that task completes.
        """
        if len(events) > 1 and events[-1].HasField("workflow_task_started_event_attributes"):
            scheduled = events[-2].workflow_task_scheduled_event_attributes
            if scheduled.attempt > 1:
                events = events[:-2]
        key = RunKey(namespace.id, run.workflow_id, run.run_id)
        seen = tuple((event.event_id, checksum(event)) for event in events)
        self.record.reads.append(Read(self.record.tick(), key, seen))


def answer_of(operation: Operation, kind: type[M]) -> M:
    """The response of a call that went well."""
    assert isinstance(operation.response, kind)
    return operation.response


def checksum(event: HistoryEvent) -> int:
    return zlib.crc32(event.SerializeToString(deterministic=True))


def _responses() -> dict[str, type[Message]]:
    """The response class of every method the simulation calls, by the method's name."""
    found: dict[str, type[Message]] = {}
    for module in (workflowservice, tasks_pb2, cell_pb2):
        for name in dir(module):
            if name.endswith("Response"):
                found[name.removesuffix("Response")] = cast(type[Message], getattr(module, name))
    return found


RESPONSES = _responses()
