"""Scenarios of the engine once more, on the PostgreSQL store."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, cast

import pytest

from engine.persistence.postgres import PostgresStore
from engine.persistence.protocols import Store
from tests.engine import (
    test_activity,
    test_moving_shards,
    test_retried_runs,
    test_shown,
    test_start,
    test_workflow,
)
from tests.engine.cell import Cell, play

Scenario = Callable[[Cell], Coroutine[Any, Any, None]]

SCENARIOS: dict[str, Scenario] = {
    f"{module.__name__.rpartition('.')[2]}-{name}": test.scenario
    for module in (
        test_activity,
        test_moving_shards,
        test_retried_runs,
        test_shown,
        test_start,
        test_workflow,
    )
    for name, test in vars(module).items()
    if len(inspect.signature(getattr(test, "scenario", play)).parameters) == 1
}


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
def test_the_scenario_holds_on_postgres(outside: Store, name: str) -> None:
    assert len(SCENARIOS) > 1
    play(Cell(store=outside), SCENARIOS[name])
