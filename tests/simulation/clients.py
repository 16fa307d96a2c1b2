"""Random clients: they start, signal, query, cancel, terminate and look at workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType, WorkflowIdConflictPolicy
from temporalio.api.enums.v1 import WorkflowIdReusePolicy as Reuse
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListWorkflowExecutionsRequest,
    QueryWorkflowRequest,
    RequestCancelWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
)

from tests.simulation.calls import Caller, Namespace, answer_of
from tests.simulation.cluster import Cluster
from tests.simulation.history_log import Operation
from tests.simulation.programs import (
    CHAIN_STEP_COUNT_MAX,
    Program,
    draw_program,
    duration,
    payloads,
)
from tests.simulation.workers import WorkflowWorker

StartRequest = StartWorkflowExecutionRequest | SignalWithStartWorkflowExecutionRequest
ActingRequest = (
    StartRequest
    | SignalWorkflowExecutionRequest
    | RequestCancelWorkflowExecutionRequest
    | TerminateWorkflowExecutionRequest
    | DeleteWorkflowExecutionRequest
)

CRON_SCHEDULES = ("@every 2s", "@every 5s", "* * * * *")
TASK_QUEUE_COUNT = 2
WORKFLOW_TASK_SECONDS = 3.0
PAGES_MAX = 500
READ_PAGE_SIZES = (0, 1, 3, 10)
RESTRICTED_SHARE = 0.3

OPERATIONS: dict[str, tuple[str, int]] = {
    "start": ("", 6),
    "signal": ("signals", 6),
    "signal_with_start": ("signal_with_start", 3),
    "query": ("queries", 2),
    "cancel": ("cancels", 1),
    "terminate": ("terminates", 1),
    "describe": ("reads", 2),
    "read_history": ("reads", 2),
    "wait_for_news": ("reads", 2),
    "list_runs": ("reads", 1),
    "delete": ("deletes", 2),
}
"""What a client may do: the feature that allows it, and how often it does it."""


class Client:
    """One client, doing one thing after another; so its own calls have an order."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        namespaces: Sequence[Namespace],
        workers: Sequence[WorkflowWorker],
    ) -> None:
        self.caller = Caller(cluster, name)
        self.workers = workers
        self._eager: list[asyncio.Task[None]] = []
        self.swarm = cluster.swarm
        self.buggify = cluster.buggify
        self.rng = self.caller.rng
        self.namespaces = namespaces
        self.known: list[tuple[Namespace, WorkflowExecution]] = []
        features = self.swarm.features
        if "restricted_starts" in features:
            self.caller.restricted_share = RESTRICTED_SHARE
        self.choices = [
            name
            for name, (feature, weight) in OPERATIONS.items()
            if not feature or feature in features
            for _ in range(weight)
        ]

    async def live(self) -> None:
        pause_seconds = self.swarm.chaos_seconds / self.swarm.operation_count
        for _ in range(self.swarm.operation_count):
            await asyncio.sleep(self.rng.random() * pause_seconds)
            await getattr(self, self.rng.choice(self.choices))()

    def workflow_id(self) -> str:
        return f"workflow-{self.rng.randrange(self.swarm.workflow_id_count)}"

    def target(self) -> tuple[Namespace, WorkflowExecution]:
        """A workflow id, or a run that this client knows of."""
        if self.known and self.rng.random() < 0.4:
            return self.rng.choice(self.known)
        namespace = self.rng.choice(self.namespaces)
        return namespace, WorkflowExecution(workflow_id=self.workflow_id())

    async def start(self) -> Operation:
        namespace = self.rng.choice(self.namespaces)
        request = StartWorkflowExecutionRequest(
            request_id=self.caller.identity(),
            workflow_id_reuse_policy=Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
        )
        if "policies" in self.swarm.features:
            self._draw_policies(request)
        self._describe_run(request, namespace)
        if "eager" in self.swarm.features:
            request.request_eager_execution = self.rng.random() < 0.5
        operation = await self._send("StartWorkflowExecution", request, namespace)
        if operation.outcome == "ok":
            self._run_eagerly(request, answer_of(operation, StartWorkflowExecutionResponse))
        other = self.rng.choice(self.namespaces)
        if other != namespace and self.buggify("client.same_request_id"):
            # Request ids belong to their namespace: the other one has never seen this.
            again = StartWorkflowExecutionRequest()
            again.CopyFrom(request)
            again.namespace = other.name
            await self._send("StartWorkflowExecution", again, other)
        return operation

    def _run_eagerly(
        self, request: StartWorkflowExecutionRequest, answer: StartWorkflowExecutionResponse
    ) -> None:
        """Gives the task that came with a start to a worker, as if it were in this process."""
        if not answer.eager_workflow_task.task_token:
            return
        self.caller.record.sometimes["a workflow task came with its start"] += 1
        place = (request.namespace, request.task_queue.name)
        near = [w for w in self.workers if (w.namespace.name, w.queue) == place]
        work = self.rng.choice(near).run(answer.eager_workflow_task)
        self._eager.append(self.caller.cluster.loop.create_task(work, name=self.caller.name))

    async def signal_with_start(self) -> None:
        namespace = self.rng.choice(self.namespaces)
        request = SignalWithStartWorkflowExecutionRequest(
            request_id=self.caller.identity(), signal_name="news"
        )
        request.signal_input.CopyFrom(payloads(request.request_id))
        self._describe_run(request, namespace)
        await self._send("SignalWithStartWorkflowExecution", request, namespace)

    def _draw_policies(self, request: StartWorkflowExecutionRequest) -> None:
        request.workflow_id_reuse_policy = self.rng.choice(
            (
                Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
                Reuse.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
                Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
            )
        )
        conflicts = [
            WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
            WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        ]
        if request.workflow_id_reuse_policy != Reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
            conflicts.append(
                WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
            )
        request.workflow_id_conflict_policy = self.rng.choice(conflicts)

    def _describe_run(
        self,
        request: StartRequest,
        namespace: Namespace,
    ) -> None:
        request.namespace = namespace.name
        request.workflow_id = self.workflow_id()
        request.workflow_type.name = "program"
        request.task_queue.name = f"queue-{self.rng.randrange(TASK_QUEUE_COUNT)}"
        request.identity = request.request_id
        request.workflow_task_timeout.CopyFrom(duration(WORKFLOW_TASK_SECONDS))
        request.input.CopyFrom(payloads(self._draw_chain(request)))
        if self.rng.random() < 0.1:
            request.workflow_run_timeout.CopyFrom(duration(self.rng.uniform(5, 30)))
        if self.rng.random() < 0.1:
            if not request.cron_schedule:
                request.workflow_start_delay.CopyFrom(duration(self.rng.uniform(0.1, 5)))
        if "timeouts" in self.swarm.features:
            self._draw_timeouts(request)

    def _draw_chain(self, request: StartRequest) -> Program:
        """Has the request begin a chain of retries or cron times, maybe; returns its program."""
        features, rng = self.swarm.features, self.rng
        retries = "retries" in features and rng.random() < 0.5
        cron = "crons" in features and rng.random() < 0.3
        if not (retries or cron):
            return draw_program(rng, features)
        program = draw_program(rng, features, step_count_max=CHAIN_STEP_COUNT_MAX)
        if retries:
            policy = request.retry_policy
            policy.maximum_attempts = rng.choice((2, 3, 5))
            policy.initial_interval.CopyFrom(duration(rng.choice((0.3, 1.5, 4.0))))
            policy.backoff_coefficient = rng.choice((1.0, 2.0))
            policy.maximum_interval.CopyFrom(duration(5.0))
            program = replace(program, failures=rng.choice((0, 1, 2, 9)))
        if cron:
            request.cron_schedule = rng.choice(CRON_SCHEDULES)
            # Only this ends a schedule that nobody cancels.
            request.workflow_execution_timeout.CopyFrom(duration(rng.uniform(3, 70)))
        return program

    def _draw_timeouts(self, request: StartRequest) -> None:
        rng = self.rng
        if rng.random() < 0.3:
            request.workflow_execution_timeout.CopyFrom(duration(rng.uniform(2, 30)))
        if rng.random() < 0.3:
            request.workflow_run_timeout.CopyFrom(duration(rng.uniform(1, 15)))
        if rng.random() < 0.3:
            request.workflow_task_timeout.CopyFrom(duration(rng.uniform(0.2, 3)))

    async def signal(self) -> None:
        namespace, run = self.target()
        identity = self.caller.identity()
        request = SignalWorkflowExecutionRequest(
            namespace=namespace.name,
            workflow_execution=run,
            signal_name="news",
            input=payloads(identity),
            identity=identity,
            request_id=identity,
        )
        await self._send("SignalWorkflowExecution", request, namespace)

    async def query(self) -> None:
        namespace, run = self.target()
        request = QueryWorkflowRequest(namespace=namespace.name, execution=run)
        request.query.query_type = "signals"
        await self.caller.attempt("QueryWorkflow", request, namespace)

    async def cancel(self) -> None:
        namespace, run = self.target()
        identity = self.caller.identity()
        request = RequestCancelWorkflowExecutionRequest(
            namespace=namespace.name,
            workflow_execution=run,
            identity=identity,
            request_id=identity,
            reason=identity,
        )
        await self._send("RequestCancelWorkflowExecution", request, namespace)

    async def terminate(self) -> None:
        namespace, run = self.target()
        identity = self.caller.identity()
        request = TerminateWorkflowExecutionRequest(
            namespace=namespace.name, workflow_execution=run, reason=identity, identity=identity
        )
        await self._send("TerminateWorkflowExecution", request, namespace)

    async def delete(self) -> None:
        """Deletes a run; the request names nobody, so the identity is the record's alone."""
        namespace, run = self.target()
        request = DeleteWorkflowExecutionRequest(namespace=namespace.name, workflow_execution=run)
        identity = self.caller.identity()
        await self._send("DeleteWorkflowExecution", request, namespace, identity)

    async def _send(
        self,
        method: str,
        request: ActingRequest,
        namespace: Namespace,
        identity: str = "",
    ) -> Operation:
        """Sends with retries; sometimes once more although it was answered."""
        identity = identity or getattr(request, "identity")  # noqa: B009
        operation = await self.caller.insist(method, request, namespace, identity=identity)
        if operation.outcome == "ok":
            run_id = getattr(operation.response, "run_id", "")
            if run_id:
                workflow_id = getattr(request, "workflow_id")  # noqa: B009
                run = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
                self.known.append((namespace, run))
            if self.buggify("client.repeat"):
                await self.caller.attempt(method, request, namespace, identity=identity)
        return operation

    async def describe(self) -> None:
        namespace, run = self.target()
        request = DescribeWorkflowExecutionRequest(namespace=namespace.name, execution=run)
        await self.caller.attempt("DescribeWorkflowExecution", request, namespace)

    async def read_history(self) -> None:
        namespace, run = self.target()
        await read_history(self.caller, namespace, run, page_size=self.rng.choice(READ_PAGE_SIZES))

    async def wait_for_news(self) -> None:
        """Long-polls a history, for all events or for its close event."""
        namespace, run = self.target()
        only_close = self.rng.random() < 0.5
        request = GetWorkflowExecutionHistoryRequest(
            namespace=namespace.name,
            execution=run,
            wait_new_event=True,
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
            if only_close
            else HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT,
        )
        for _ in range(3):
            operation = await self.caller.attempt("GetWorkflowExecutionHistory", request, namespace)
            if operation.outcome != "ok":
                return
            answer = answer_of(operation, GetWorkflowExecutionHistoryResponse)
            if run.run_id:
                self.caller.saw(namespace, run, list(answer.history.events))
            request.next_page_token = answer.next_page_token
            if not answer.next_page_token:
                return

    async def list_runs(self) -> None:
        namespace = self.rng.choice(self.namespaces)
        query = self.rng.choice(("", "ExecutionStatus = 'Running'", "WorkflowId = 'workflow-0'"))
        request = ListWorkflowExecutionsRequest(namespace=namespace.name, query=query, page_size=2)
        for _ in range(PAGES_MAX):
            operation = await self.caller.attempt("ListWorkflowExecutions", request, namespace)
            if operation.outcome != "ok":
                return
            request.next_page_token = getattr(operation.response, "next_page_token", b"")
            if not request.next_page_token:
                return


async def read_history(
    caller: Caller, namespace: Namespace, run: WorkflowExecution, *, page_size: int = 0
) -> bool:
    """Reads a run's history page by page; whether it came to the end."""
    request = GetWorkflowExecutionHistoryRequest(
        namespace=namespace.name, execution=run, maximum_page_size=page_size
    )
    events: list[HistoryEvent] = []
    for _ in range(PAGES_MAX):
        operation = await caller.insist("GetWorkflowExecutionHistory", request, namespace)
        if operation.outcome != "ok":
            break
        answer = answer_of(operation, GetWorkflowExecutionHistoryResponse)
        events += answer.history.events
        request.next_page_token = answer.next_page_token
        if not answer.next_page_token:
            break
    if run.run_id:
        caller.saw(namespace, run, events)
    return operation.outcome == "ok" and not request.next_page_token
