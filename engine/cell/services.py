"""What the handlers of RPCs work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.cell.directory import Directory
from engine.cell.dispatch import Dispatcher
from engine.cell.history_reader import HistoryReader
from engine.cell.loaded_run import LoadedRun
from engine.cell.namespaces import Namespaces
from engine.cell.shard import Shard
from engine.env import Env
from engine.ids import shard_of
from engine.measures import Measures
from engine.persistence.protocols import RunKey, Store
from engine.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Services:
    """One node's parts, for one RPC's handler."""

    env: Env
    store: Store
    directory: Directory
    dispatcher: Dispatcher
    namespaces: Namespaces
    history: HistoryReader
    tokens: Tokens
    elsewhere: Callable[[str, bytes], Awaitable[list[bytes]]]
    """What the other nodes answer to a peer's method."""
    measures: Measures

    def shard(self, namespace_id: str, workflow_id: str) -> Shard:
        """The shard of a workflow id. Raises Unavailable where it is not here."""
        shard_id = shard_of(namespace_id, workflow_id, self.directory.shard_count)
        return self.directory.owned(shard_id)

    async def run(
        self, namespace_id: str, workflow_id: str, run_id: str = ""
    ) -> tuple[Shard, LoadedRun]:
        """A run and its shard; without a run id the current run. Raises NotFound."""
        shard = self.shard(namespace_id, workflow_id)
        return shard, await shard.run(RunKey(namespace_id, workflow_id, run_id))
