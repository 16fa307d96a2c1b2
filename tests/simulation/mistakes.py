"""Mistakes that a test makes in functions of the engine while it runs."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import apsw
import pytest
from msgspec.structs import replace as replace_struct
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes as Started

from engine import handlers
from engine.cell import looked_at, purge
from engine.cell.directory import Directory
from engine.cell.dispatch import Dispatcher
from engine.cell.loaded_run import LoadedRun
from engine.cell.namespaces import Namespaces
from engine.cell.shard import Shard
from engine.env.system import SlewedClock
from engine.handlers import started_task, starting
from engine.history import activity, begin, cron, next_run, retry, timeouts
from engine.history.next_run import NextRun
from engine.history.state import Activity, RunState, Timer
from engine.history.transition import StartRun, Transition
from engine.matching.queue import Poller
from engine.metering.facts import FactKind
from engine.persistence.protocols import ShardLease
from engine.persistence.sqlite.connection import StoreFile
from engine.tokens import ActivityTaskToken

CONTINUED_AS_NEW = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
MILLISECOND_NS = 1_000_000
READS = ("GetWorkflowExecutionHistory", "DescribeWorkflowExecution")
Handle = Callable[..., Awaitable[Any]]


def _replace_everywhere(monkeypatch: pytest.MonkeyPatch, wrong: Any, right: Any) -> None:
    """Puts `wrong` wherever a module of the engine holds `right` by name."""
    places = [
        (module, name)
        for module_name, module in list(sys.modules.items())
        if module_name.startswith("engine.")
        for name, value in vars(module).items()
        if value is right
    ]
    assert places, f"{right} is nowhere"
    for module, name in places:
        monkeypatch.setattr(module, name, wrong)


def _replace_handle(
    monkeypatch: pytest.MonkeyPatch, rpc: str, wrap: Callable[[Handle], Handle]
) -> None:
    """Wraps the function that answers `rpc`."""
    method = f"temporal.api.workflowservice.v1.WorkflowService.{rpc}"
    handler = handlers.HANDLERS[method]
    wrong = handler._replace(handle=wrap(handler.handle))
    monkeypatch.setitem(handlers.HANDLERS, method, wrong)


def timer_early(monkeypatch: pytest.MonkeyPatch) -> None:
    put_timer = RunState.put_timer

    def put_early(state: RunState, timer: Timer) -> None:
        put_timer(state, replace_struct(timer, due_at_ns=timer.due_at_ns - MILLISECOND_NS))

    monkeypatch.setattr(RunState, "put_timer", put_early)


def clock_follows_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlewedClock, "now_ns", lambda clock: clock._wall_ns())


def starts_are_confused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poller, "starting", lambda poller, request_id="": poller.info)


def stale_attempt_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    right = started_task.started_activity

    def any_attempt(run: LoadedRun, token: ActivityTaskToken) -> Activity:
        activity = run.state.activities.get(token.scheduled_event_id)
        if activity is not None and activity.attempt.started_at_ns:
            return activity
        return right(run, token)

    _replace_everywhere(monkeypatch, any_attempt, right)


def dedupe_without_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    answered: dict[str, Any] = {}

    def wrap(handle: Handle) -> Handle:
        async def answer(services: Any, request: Any, call: Any) -> Any:
            if request.request_id not in answered:
                answered[request.request_id] = await handle(services, request, call)
            return answered[request.request_id]

        return answer

    _replace_handle(monkeypatch, "StartWorkflowExecution", wrap)


def metered_on_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrap(handle: Handle) -> Handle:
        async def answer(services: Any, request: Any, call: Any) -> Any:
            execution = request.workflow_execution
            shard, run = await services.run(
                call.namespace_id, execution.workflow_id, execution.run_id
            )
            if request.request_id in run.state.signal_requests:
                t = shard.begin(run)
                t.count(FactKind.WORKFLOW_SIGNALED)
                shard.record(run, t)
            return await handle(services, request, call)

        return answer

    _replace_handle(monkeypatch, "SignalWorkflowExecution", wrap)


def read_before_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    is_reading: ContextVar[bool] = ContextVar("is_reading", default=False)
    durable = Shard.durable

    async def durable_unless_reading(shard: Shard, run: LoadedRun) -> None:
        if not is_reading.get():
            await durable(shard, run)

    def wrap(handle: Handle) -> Handle:
        async def answer(services: Any, request: Any, call: Any) -> Any:
            is_reading.set(True)
            try:
                return await handle(services, request, call)
            finally:
                is_reading.set(False)

        return answer

    monkeypatch.setattr(Shard, "durable", durable_unless_reading)
    for rpc in READS:
        _replace_handle(monkeypatch, rpc, wrap)


def refused_before_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(looked: looked_at.LookedAt) -> None:
        return None

    monkeypatch.setattr(looked_at, "all_durable", at_once)


def next_run_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    start_next = Shard._start_next

    def start_unless_retry(shard: Shard, run: LoadedRun, effect: StartRun) -> None:
        if run.state.run.status == CONTINUED_AS_NEW:
            start_next(shard, run, effect)

    monkeypatch.setattr(Shard, "_start_next", start_unless_retry)


def backoff_of_retried_run_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    right = next_run.after_failure

    def at_once(t: Transition, failure: Failure) -> NextRun:
        return right(t, failure)._replace(backoff_ns=0)

    monkeypatch.setattr(next_run, "after_failure", at_once)


def schedule_counted_from_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_now(every: cron.Every, previous_ns: int, now_ns: int) -> int:
        return now_ns + every.interval_ns

    monkeypatch.setattr(cron.Every, "next_ns", from_now)


def execution_timeout_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    right = begin.write_started

    def with_new_expiry(t: Transition, attributes: Started, *rest: Any) -> None:
        if attributes.HasField("workflow_execution_expiration_time"):
            expires_ns = t.now_ns + attributes.workflow_execution_timeout.ToNanoseconds()
            attributes.workflow_execution_expiration_time.FromNanoseconds(expires_ns)
        right(t, attributes, *rest)

    monkeypatch.setattr(begin, "write_started", with_new_expiry)


def run_timeout_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is read back does not know when it times out."""
    right = timeouts.arm_all

    def arm_the_rest(state: RunState) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(begin, "arm", lambda state: None)
            right(state)

    monkeypatch.setattr(timeouts, "arm_all", arm_the_rest)


def close_timeout_of_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Schedule-to-close counted from the schedule of the attempt, not of the activity."""
    right_timeouts, right_decide = activity.timeouts, retry.decide

    def of_attempt(pending: Activity) -> Activity:
        return replace_struct(pending, scheduled_at_ns=pending.attempt.scheduled_at_ns)

    def wrong_timeouts(pending: Activity) -> list[tuple[int, Any]]:
        return right_timeouts(of_attempt(pending))

    def wrong_decide(pending: Activity, failure: Failure, now_ns: int) -> Any:
        return right_decide(of_attempt(pending), failure, now_ns)

    monkeypatch.setattr(activity, "timeouts", wrong_timeouts)
    monkeypatch.setattr(retry, "decide", wrong_decide)


def start_timeout_early(monkeypatch: pytest.MonkeyPatch) -> None:
    right = activity.timeouts

    def early(pending: Activity) -> list[tuple[int, Any]]:
        shorter_ns = max(0, pending.schedule_to_start_ns - MILLISECOND_NS)
        return right(replace_struct(pending, schedule_to_start_ns=shorter_ns))

    monkeypatch.setattr(activity, "timeouts", early)


def deleted_run_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shard, "_drop", lambda shard, run: None)


def purge_looks_at_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def once(self: purge.Purge, namespace_id: str) -> None:
        await self._purge(namespace_id)
        self._done.add(namespace_id)

    monkeypatch.setattr(purge.Purge, "_look", once)


def restricted_starts_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "check_may_start", lambda call: None)


def deletion_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(namespaces: Namespaces) -> None:
        return None

    monkeypatch.setattr(Namespaces, "keep_fresh", never)


def first_attempt_awaits_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Dispatcher.offer_again

    def offer_what_is_past(
        dispatcher: Dispatcher, shard: Shard, run: LoadedRun, home_shard: int | None
    ) -> None:
        state = run.state
        if all(
            pending.attempt.scheduled_at_ns <= dispatcher._env.now_ns()
            for pending in state.activities.values()
        ):
            right(dispatcher, shard, run, home_shard)

    monkeypatch.setattr(Dispatcher, "offer_again", offer_what_is_past)


def leases_judged_by_wall_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_over(directory: Directory, lease: ShardLease) -> bool:
        return not lease.owner or lease.expires_at_ns < directory._env.now_ns()

    monkeypatch.setattr(Directory, "_is_free", is_over)


def commits_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = StoreFile.connect

    def connect_lazily(file: StoreFile, cache_kib: int) -> apsw.Connection:
        connection = connect(file, cache_kib)
        connection.execute("PRAGMA synchronous = off")
        return connection

    monkeypatch.setattr(StoreFile, "connect", connect_lazily)
