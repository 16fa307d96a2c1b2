"""The system cell costs its store nothing while nothing happens in it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import cast

from google.protobuf.message import Message
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from api.system.cell import NAMESPACE, SHARD_COUNT
from api.system.lone_store import LoneStore
from engine.call import Call
from engine.handlers.handler import CELL_SERVICE, WORKFLOW_SERVICE
from engine.node import Node, NodeConfig
from engine.persistence.protocols import Store
from engine.persistence.sqlite import SqliteStore
from engine.protocol.cell_pb2 import PutNamespaceRequest
from tests.engine.cell import Alone
from tests.product.test_idle import (
    SETTLING_SECONDS,
    WATCHED_MINUTES,
    BusyStore,
    WaitingLoop,
    statements_seen,
)
from tests.simulation.env import SimEnv
from tests.simulation.loop import Host, run

CONFIG = NodeConfig(SHARD_COUNT, {1: b"k" * 32}, 1)


async def ask(node: Node, method: str, request: Message) -> None:
    await node.call(method, request.SerializeToString(), Call(NAMESPACE, NAMESPACE, "test", 60.0))


def test_nothing_is_asked_of_its_store_between_two_months(tmp_path: Path) -> None:
    store = BusyStore(SqliteStore(tmp_path / "system.db"))
    loop = WaitingLoop(store)
    env = SimEnv(loop, Host("node"), random.Random(0), skew_seconds=0, drift=0)
    node = Node("node", env, cast(Store, LoneStore(cast(Store, store))), Alone(), CONFIG)

    async def idle() -> Counter[str]:
        with statements_seen() as seen:
            await node.start()
            await asyncio.sleep(SETTLING_SECONDS)
            put = PutNamespaceRequest(id=NAMESPACE, name=NAMESPACE)
            await ask(node, CELL_SERVICE + "PutNamespace", put)
            start = StartWorkflowExecutionRequest(workflow_id="months", request_id="once")
            start.workflow_type.name, start.task_queue.name = "CloseMonths", "control-plane"
            start.cron_schedule = "10 2 1 * *"
            await ask(node, WORKFLOW_SERVICE + "StartWorkflowExecution", start)
            await asyncio.sleep(SETTLING_SECONDS)
            # A hook that saw nothing would find nothing now.
            assert seen.total() > 0
            seen.clear()
            await asyncio.sleep(WATCHED_MINUTES * 60)
            watched = Counter(seen)
            await node.stop()
        return watched

    assert run(loop, idle()) == Counter()
