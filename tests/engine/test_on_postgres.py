"""Scenarios of the engine once more, on the PostgreSQL store."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, cast

import pytest

from engine.persistence.postgres import PostgresStore
from engine.persistence.protocols import Store
from tests.engine import (
    test_activity,
    test_cron_runs,
    test_deleted_namespace,
    test_end,
    test_limits,
    test_limits_of_counts,
    test_limits_of_time,
    test_moving_shards,
    test_refusals,
    test_restricted_starts,
    test_retention,
    test_retried_runs,
    test_shown,
    test_start,
    test_worker_calls,
    test_worker_life,
    test_workflow,
)
from tests.engine.cell import Cell, play

Scenario = Callable[..., Coroutine[Any, Any, None]]

OFTEN = (
    test_activity,
    test_end,
    test_moving_shards,
    test_restricted_starts,
    test_retried_runs,
    test_shown,
    test_start,
    test_worker_calls,
    test_workflow,
)
SELDOM = (
    test_cron_runs,
    test_deleted_namespace,
    test_limits,
    test_limits_of_counts,
    test_limits_of_time,
    test_refusals,
    test_retention,
    test_worker_life,
)
"""They take long: what lasts in simulated time has many statements of leases."""

FIXTURES = {"cell", "monkeypatch"}


def scenarios(modules: Iterable[ModuleType]) -> dict[str, Scenario]:
    """Those of the modules that ask for nothing else."""
    return {
        f"{module.__name__.rpartition('.')[2]}-{name}": test.scenario
        for module in modules
        for name, test in vars(module).items()
        if inspect.signature(getattr(test, "scenario", play)).parameters.keys() <= FIXTURES
        and hasattr(test, "scenario")
    }


SCENARIOS, SELDOM_SCENARIOS = scenarios(OFTEN), scenarios(SELDOM)


class Outside:
    """A store on an event loop of its own: simulated time stands still while it works."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any) -> Any:
            return self.wait_for(getattr(self._store, name)(*arguments))

        return call

    async def close(self) -> None:
        """Another node may still use it, and the law is checked when the last one has stopped."""

    def end(self) -> None:
        self.wait_for(self._store.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@pytest.fixture
def outside(postgres_url: str) -> Iterator[Store]:
    outside = Outside(PostgresStore(postgres_url))
    yield cast(Store, outside)
    outside.end()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_scenario_holds_on_postgres(
    outside: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    play_with(outside, monkeypatch, SCENARIOS[name])


@pytest.mark.ci
@pytest.mark.parametrize("name", SELDOM_SCENARIOS)
def test_the_longer_scenario_holds_on_postgres(
    outside: Store,
    monkeypatch: pytest.MonkeyPatch,
    allow_log: Callable[..., None],
    name: str,
) -> None:
    # One of them makes a list fail that a purge reads.
    allow_log("purge_failed")
    play_with(outside, monkeypatch, SELDOM_SCENARIOS[name])


def play_with(store: Store, monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    asks = "monkeypatch" in inspect.signature(scenario).parameters
    play(Cell(store=store), partial(scenario, monkeypatch=monkeypatch) if asks else scenario)
