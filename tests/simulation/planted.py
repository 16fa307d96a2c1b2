"""Bugs planted in functions of the engine while a test runs, and where each must be found."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct

from engine import handlers
from engine.cell import looked_at
from engine.cell.loaded_run import LoadedRun
from engine.cell.shard import Shard
from engine.env.system import SlewedClock
from engine.handlers import started_task
from engine.history.state import Activity, RunState, Timer
from engine.matching.queue import Poller
from engine.metering.facts import FactKind
from engine.tokens import ActivityTaskToken
from tests.simulation import bugs
from tests.simulation.disk import SimDisk
from tests.simulation.swarm import NEMESES, Swarm, draw_swarm

MILLISECOND_NS = 1_000_000
READS = ("GetWorkflowExecutionHistory", "DescribeWorkflowExecution")
Handle = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Bug:
    """A mistake: how it is made, what kind of seed shows it, which invariants tell of it."""

    name: str
    found_by: frozenset[str]
    store: type[SimDisk] = SimDisk
    plant: Callable[[pytest.MonkeyPatch], None] = lambda monkeypatch: None
    features: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    nemeses: tuple[str, ...] = ()
    commit_seconds: float = 0.0
    """How long commits take; 0 leaves it to the seed."""

    def swarm(self, seed: int) -> Swarm:
        """The seed's configuration, with what the bug needs to show switched on."""
        drawn = draw_swarm(seed)
        return replace(
            drawn,
            namespace_count=2,
            commit_seconds=self.commit_seconds or drawn.commit_seconds,
            features=tuple({*drawn.features, *self.features}),
            sites=tuple({*drawn.sites, *self.sites}),
            nemeses=tuple({*drawn.nemeses, *self.nemeses}),
        )


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


def _timer_early(monkeypatch: pytest.MonkeyPatch) -> None:
    put_timer = RunState.put_timer

    def put_early(state: RunState, timer: Timer) -> None:
        put_timer(state, replace_struct(timer, due_at_ns=timer.due_at_ns - MILLISECOND_NS))

    monkeypatch.setattr(RunState, "put_timer", put_early)


def _clock_follows_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlewedClock, "now_ns", lambda clock: clock._wall_ns())


def _starts_are_confused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poller, "starting", lambda poller, request_id="": poller.info)


def _stale_attempt_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    right = started_task.started_activity

    def any_attempt(run: LoadedRun, token: ActivityTaskToken) -> Activity:
        activity = run.state.activities.get(token.scheduled_event_id)
        if activity is not None and activity.attempt.started_at_ns:
            return activity
        return right(run, token)

    _replace_everywhere(monkeypatch, any_attempt, right)


def _dedupe_without_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    answered: dict[str, Any] = {}

    def wrap(handle: Handle) -> Handle:
        async def answer(services: Any, request: Any, call: Any) -> Any:
            if request.request_id not in answered:
                answered[request.request_id] = await handle(services, request, call)
            return answered[request.request_id]

        return answer

    _replace_handle(monkeypatch, "StartWorkflowExecution", wrap)


def _metered_on_retry(monkeypatch: pytest.MonkeyPatch) -> None:
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


def _read_before_durable(monkeypatch: pytest.MonkeyPatch) -> None:
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


def _refused_before_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(looked: looked_at.LookedAt) -> None:
        return None

    monkeypatch.setattr(looked_at, "all_durable", at_once)


BUGS = (
    Bug(
        "a fenced owner's rows written in a pipelined commit",
        frozenset({"I23"}),
        store=bugs.FencedRowsWritten,
        nemeses=("pause",),
    ),
    Bug(
        "acknowledge before commit",
        frozenset({"I24"}),
        store=bugs.AcknowledgedBeforeCommit,
    ),
    Bug("timer 1 ms early", frozenset({"I19"}), plant=_timer_early),
    Bug(
        "a jump of the wall clock followed",
        frozenset({"I20"}),
        plant=_clock_follows_jumps,
        nemeses=("jump",),
    ),
    Bug(
        "timer lost on takeover",
        frozenset({"I28"}),
        store=bugs.TimersLostOnTakeover,
        nemeses=("crash",),
    ),
    Bug(
        "tasks lost on takeover",
        frozenset({"I28"}),
        store=bugs.TasksLostOnTakeover,
        nemeses=("crash",),
    ),
    Bug(
        "a stale attempt accepted",
        frozenset({"I8"}),
        plant=_stale_attempt_accepted,
        features=("activities",),
        sites=("task.slow", "task.vanish"),
    ),
    Bug(
        "a task offered twice given twice to one poll",
        frozenset({"I8"}),
        plant=_starts_are_confused,
        features=("activities", "batches"),
        sites=("link.slow",),
        nemeses=("crash", "full"),
    ),
    Bug(
        "a buffered signal dropped",
        frozenset({"I2", "I16"}),
        store=bugs.BufferLostOnTakeover,
        features=("signals", "signal_with_start"),
        sites=("task.slow",),
        nemeses=("crash",),
    ),
    Bug(
        "dedupe key without namespace",
        frozenset({"I1"}),
        plant=_dedupe_without_namespace,
        sites=("client.same_request_id",),
    ),
    Bug(
        "metering counted on retry",
        frozenset({"I33"}),
        plant=_metered_on_retry,
        features=("signals",),
        sites=("client.repeat",),
    ),
    Bug(
        "a read answered from undurable state",
        frozenset({"I24"}),
        plant=_read_before_durable,
        features=("reads",),
        commit_seconds=0.5,
    ),
    Bug(
        "a refusal answered from undurable state",
        frozenset({"I24"}),
        plant=_refused_before_durable,
        features=("signals", "terminates"),
        commit_seconds=0.5,
    ),
)

assert set(NEMESES) >= {name for bug in BUGS for name in bug.nemeses}
