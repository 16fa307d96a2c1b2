"""A cell as the rest of the cloud sees it, in this process or in another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from api.complete_tasks import offering_complete_tasks
from api.dispatch import CellRpc
from api.installation import Installation
from api.telemetry import Telemetry
from engine.env.system import SystemEnv
from engine.errors import Unavailable
from engine.node import Node, NodeConfig
from engine.persistence.protocols import Store
from tenancy import clock

NODE = "node-1"
"""The name outlives restarts, so that a node takes its own shards back at once."""

SHARD_COUNT = 16


class CellHealth(msgspec.Struct, array_like=True, frozen=True):
    """Whether the cell answers calls; if not, or not all, `problem` says why."""

    is_ready: bool
    problem: str = ""


class Cell(Protocol):
    """`health` is known without asking: it costs nothing and cannot hang."""

    @property
    def health(self) -> CellHealth:
        """How the cell was when it was heard of last."""

    @property
    def call(self) -> CellRpc:
        """Answers an RPC with its serialized response, or raises EngineError."""


class Cells:
    """The cells of an installation, by id. One that is away affects its own namespaces alone."""

    def __init__(self, cells: Mapping[str, Cell]) -> None:
        self._cells = dict(cells)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._cells))

    def of(self, cell_id: str) -> CellRpc:
        """What asks that cell; without an id, one that is ready. Raises Unavailable."""
        cell = self._cells.get(cell_id) if cell_id else self._any()
        if cell is None:
            raise Unavailable("the cell of this namespace is not known here now", cell=cell_id)
        return cell.call

    @property
    def health(self) -> CellHealth:
        """Ready as long as one of them is; `problem` tells of those that are not, or in part."""
        told = {id: cell.health for id, cell in self._cells.items()}
        problems = {id: health.problem for id, health in told.items() if health.problem}
        texts = [it if len(told) == 1 else f"{id}: {it}" for id, it in problems.items()]
        is_ready = any(health.is_ready for health in told.values())
        return CellHealth(is_ready, "; ".join(texts) if told else "no cell is known yet")

    def _any(self) -> Cell | None:
        cells = self._cells.values()
        return next((it for it in cells if it.health.is_ready), next(iter(cells), None))


class LonePeer:
    """The way between the nodes of a cell that has one."""

    def __init__(self) -> None:
        self.node: Node | None = None

    async def call(self, node: str, method: str, payload: bytes) -> bytes:
        if self.node is None or node != NODE:
            raise Unavailable(node=node)
        return await self.node.serve(method, payload)


class LocalCell:
    """A cell of one node in this process."""

    def __init__(self, node: Node, telemetry: Telemetry | None) -> None:
        self._node = node
        if telemetry is not None:
            node.measures.is_watched = True
            telemetry.board.add(node.readings)
        call = node.call if telemetry is None else telemetry.cell(node.call)
        self.call = offering_complete_tasks(call)

    @property
    def health(self) -> CellHealth:
        error = self._node.store_error
        if error is not None:
            return CellHealth(False, f"the store cannot be written: {error}")
        is_ready = self._node.is_ready
        return CellHealth(is_ready, "" if is_ready else "shards are being taken over")


def cloud_env() -> SystemEnv:
    """The real world, at the time in which the installation lives."""
    return SystemEnv(clock.wall_ns)


@asynccontextmanager
async def open_cell(
    installation: Installation, store: Store, telemetry: Telemetry | None = None
) -> AsyncIterator[LocalCell]:
    """The node started, and stopped again. Raises StoreError."""
    secrets = installation.secrets
    config = NodeConfig(SHARD_COUNT, secrets.sealing_keys, secrets.sealing_key_active)
    peer = LonePeer()
    traced = store if telemetry is None else telemetry.store(store)
    peer.node = node = Node(NODE, cloud_env(), traced, peer, config)
    try:
        await node.start()
        yield LocalCell(node, telemetry)
    finally:
        await node.stop()
