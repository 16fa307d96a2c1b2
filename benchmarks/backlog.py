"""python -m benchmarks.backlog [--tasks N] [--cached RUNS]: what tasks cost that nobody takes.

First the queue alone, then a cell on SQLite in this process whose workflows have no worker: its
calls of the store while they start, while they wait, and while tasks are handed out until the
shards offer again what the queue left out. `--cached` is how many runs a shard keeps in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from api.cells import NODE, LonePeer
from engine.call import Call
from engine.cell import memory
from engine.env.system import SystemEnv
from engine.handlers.handler import CELL_SERVICE, TASK_SERVICE, WORKFLOW_SERVICE
from engine.limits import (
    BACKLOG_TASK_COUNT_LOW,
    BACKLOG_TASK_COUNT_MAX,
    CACHED_RUN_COUNT_MAX,
)
from engine.matching.backlog import Backlog
from engine.matching.task import TaskRef
from engine.node import Node, NodeConfig
from engine.persistence.sqlite import SqliteStore
from engine.protocol.cell_pb2 import PutNamespaceRequest
from engine.protocol.tasks_pb2 import PollTasksRequest, PollTasksResponse

DATA = Path(__file__).parent.parent / ".data"
NAMESPACE = Call("6f9d7ac0-5f0f-4f0e-9a3e-5a0a3a1c2b11", "backlog.bench")
QUEUE = "nobody"
SHARD_COUNT = 16
STARTERS = 256
TASKS_PER_POLL = 100
IDLE_SECONDS = 10.0
TASK_SECONDS = 120


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096


class CountedStore:
    """A store that counts the calls it gets."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._store, name)

    def take(self) -> str:
        """The calls since the last time, most first."""
        told = ", ".join(f"{count:,} {name}" for name, count in self.calls.most_common())
        self.calls.clear()
        return told or "none"


def measure_queue(offered: int) -> None:
    """The memory of a backlog, of which the tasks themselves are a part."""
    gc.collect()
    before, backlog = resident_bytes(), Backlog()
    for number in range(offered):
        if len(backlog) < BACKLOG_TASK_COUNT_MAX:
            ids = f"order-{number:07d}", f"{number:08x}-5f0f-7f0e-9a3e-5a0a3a1c2b11"
            backlog.add(TaskRef(NAMESPACE.namespace_id, *ids, "workflow", 2, 1))
    held = resident_bytes() - before
    print(f"queue alone: {offered:,} offered, {len(backlog):,} held, {held / 2**20:.1f} MiB,")
    print(f"  {held / len(backlog):.0f} bytes a task with its ids")


@asynccontextmanager
async def cell(folder: Path) -> AsyncIterator[tuple[Node, CountedStore]]:
    store = CountedStore(SqliteStore(folder / "cell.db"))
    env, peer = SystemEnv(), LonePeer()
    config = NodeConfig(SHARD_COUNT, {1: bytes(32)}, 1)
    peer.node = node = Node(NODE, env, store, peer, config)
    await node.start()
    try:
        while not node.is_ready:
            await env.sleep(0.1)
        request = PutNamespaceRequest(id=NAMESPACE.namespace_id, name=NAMESPACE.namespace)
        request.workflow_execution_retention.FromSeconds(86_400)
        await node.call(CELL_SERVICE + "PutNamespace", request.SerializeToString(), NAMESPACE)
        yield node, store
    finally:
        await node.stop()


async def start_all(node: Node, count: int) -> None:
    numbers = iter(range(count))

    async def one_after_another() -> None:
        for number in numbers:
            request = StartWorkflowExecutionRequest(
                workflow_id=f"order-{number:07d}",
                workflow_task_timeout=Duration(seconds=TASK_SECONDS),
            )
            request.workflow_type.name, request.task_queue.name = "Order", QUEUE
            method = WORKFLOW_SERVICE + "StartWorkflowExecution"
            await node.call(method, request.SerializeToString(), NAMESPACE)

    await asyncio.gather(*(one_after_another() for _ in range(STARTERS)))


async def take_some(node: Node, count: int) -> int:
    """Polls without completing anything; how many different tasks came."""
    request = PollTasksRequest(identity="worker", workflow_task_count_max=TASKS_PER_POLL)
    request.task_queue.name = QUEUE
    method, asked = TASK_SERVICE + "PollTasks", request.SerializeToString()
    runs: set[str] = set()
    while len(runs) < count:
        answer = PollTasksResponse.FromString(await node.call(method, asked, NAMESPACE))
        runs.update(task.workflow_execution.run_id for task in answer.workflow_tasks)
    return len(runs)


async def measure_cell(folder: Path, count: int) -> None:
    async with cell(folder) as (node, store):
        store.take()
        await asyncio.sleep(IDLE_SECONDS)
        print(f"cell, {IDLE_SECONDS:.0f} s with nothing waiting: {store.take()}")
        before, began = resident_bytes(), time.perf_counter()
        await start_all(node, count)
        seconds = time.perf_counter() - began
        held = (resident_bytes() - before) / 2**20
        print(
            f"{count:,} starts in {seconds:.0f} s, {held:.0f} MiB with their runs: {store.take()}"
        )
        await asyncio.sleep(IDLE_SECONDS)
        print(f"{IDLE_SECONDS:.0f} s with {count:,} tasks waiting: {store.take()}")
        taken_count = min(count, BACKLOG_TASK_COUNT_MAX - BACKLOG_TASK_COUNT_LOW) + TASKS_PER_POLL
        began = time.perf_counter()
        taken = await take_some(node, min(count, taken_count))
        seconds = time.perf_counter() - began
        print(f"{taken:,} tasks handed out in {seconds:.0f} s: {store.take()}")
        began = time.perf_counter()
        waiting = 0
        for shard_id in range(SHARD_COUNT):
            waiting += len(await store.active_runs(shard_id))
        seconds = time.perf_counter() - began
        print(f"one pass over the {waiting:,} active runs: {seconds:.2f} s of reading")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200_000)
    parser.add_argument("--cached", type=int, default=CACHED_RUN_COUNT_MAX, metavar="RUNS")
    arguments = parser.parse_args()
    count = arguments.tasks
    vars(memory)["CACHED_RUN_COUNT_MAX"] = arguments.cached
    measure_queue(count)
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=DATA) as folder:
        uvloop.run(measure_cell(Path(folder), count))


if __name__ == "__main__":
    main()
