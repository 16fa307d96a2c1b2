"""Namespaces in which nothing happens cost the store nothing."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import apsw
from google.protobuf.message import Message
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from engine.call import Call
from engine.handlers.handler import CELL_SERVICE, WORKFLOW_SERVICE
from engine.node import Node, NodeConfig
from engine.persistence.protocols import Store
from engine.persistence.sqlite import SqliteStore
from engine.protocol.cell_pb2 import PutNamespaceRequest
from tests.engine.cell import Alone
from tests.simulation.env import SimEnv
from tests.simulation.loop import Host, SimLoop, run

NAMESPACE_COUNT = 1_000
SETTLING_SECONDS = 120
WATCHED_MINUTES = 10
WAIT_SECONDS_MAX = 30
CONFIG = NodeConfig(shard_count=4, sealing_keys={1: b"k" * 32}, sealing_key_active=1)


class BusyStore:
    """A store that knows how many calls of it are under way."""

    def __init__(self, store: SqliteStore) -> None:
        self.call_count = 0
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*values: Any, **options: Any) -> Any:
            self.call_count += 1
            try:
                return await method(*values, **options)
            finally:
                self.call_count -= 1

        return call


class WaitingLoop(SimLoop):
    """Simulated time that stands still while the store's threads are at work."""

    def __init__(self, store: BusyStore) -> None:
        super().__init__(0, in_order=True)
        self._store = store
        self._woken = threading.Event()

    def _write_to_self(self) -> None:
        self._woken.set()

    def _advance(self) -> None:
        while self._store.call_count and not self._ready:
            assert self._woken.wait(WAIT_SECONDS_MAX), "the store does not answer"
            self._woken.clear()
        if not self._ready:
            super()._advance()


@contextmanager
def statements_seen() -> Iterator[Counter[str]]:
    """Every statement that any connection of SQLite begins from here on."""
    seen: Counter[str] = Counter()

    def note(event: dict[str, Any]) -> None:
        seen[event["sql"]] += 1

    def watch(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_STMT, note)

    apsw.connection_hooks.append(watch)
    try:
        yield seen
    finally:
        apsw.connection_hooks.remove(watch)


class Customers:
    """Namespaces, each with a workflow that has waited for a worker ever since it was started."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def move_in(self, count: int) -> None:
        for number in range(count):
            namespace_id = f"namespace-{number}"
            put = PutNamespaceRequest(id=namespace_id, name=f"{namespace_id}.acme")
            put.workflow_execution_retention.FromTimedelta(timedelta(days=7))
            await self._ask(namespace_id, CELL_SERVICE + "PutNamespace", put)
            start = StartWorkflowExecutionRequest(workflow_id="order", request_id="once")
            start.workflow_type.name, start.task_queue.name = "Order", "orders"
            await self._ask(namespace_id, WORKFLOW_SERVICE + "StartWorkflowExecution", start)

    async def _ask(self, namespace_id: str, method: str, request: Message) -> None:
        call = Call(namespace_id, f"{namespace_id}.acme", "test", 60.0)
        await self._node.call(method, request.SerializeToString(), call)


def statements_of_idle_minutes(path: Path, namespace_count: int) -> Counter[str]:
    store = BusyStore(SqliteStore(path))
    loop = WaitingLoop(store)
    env = SimEnv(loop, Host("node"), random.Random(0), skew_seconds=0, drift=0)
    node = Node("node", env, cast(Store, store), Alone(), CONFIG)

    async def idle() -> Counter[str]:
        with statements_seen() as seen:
            await node.start()
            await Customers(node).move_in(namespace_count)
            await asyncio.sleep(SETTLING_SECONDS)
            # A hook that saw nothing would find all things equal.
            assert seen.total() > namespace_count
            seen.clear()
            await asyncio.sleep(WATCHED_MINUTES * 60)
            watched = Counter(seen)
            await node.stop()
        return watched

    return run(loop, idle())


def test_idle_namespaces_cost_no_statements(tmp_path: Path) -> None:
    empty = statements_of_idle_minutes(tmp_path / "empty.db", 0)
    full = statements_of_idle_minutes(tmp_path / "full.db", NAMESPACE_COUNT)
    # Without any namespace there is this to do: shards keep their leases.
    assert sum(count for text, count in empty.items() if "UPDATE shard" in text) > WATCHED_MINUTES
    assert full == empty
