"""The task queues whose home shard this node owns."""

from __future__ import annotations

from collections.abc import Collection

from engine.env import Env
from engine.errors import Unavailable
from engine.ids import shard_of
from engine.matching.queue import Refill, Starter, TaskQueue
from engine.matching.task import QueueKey
from engine.measures import Measures


class Matching:
    """Makes queues when somebody asks for them and forgets idle ones."""

    def __init__(
        self, env: Env, shard_count: int, starter: Starter, refill: Refill, measures: Measures
    ) -> None:
        self._measures = measures
        self._env = env
        self._shard_count = shard_count
        self._starter = starter
        self._refill = refill
        self._queues: dict[QueueKey, TaskQueue] = {}

    def home_shard(self, key: QueueKey) -> int:
        """The shard whose owner holds the queue."""
        return shard_of(key.namespace_id, key.name, self._shard_count)

    def queue(self, key: QueueKey) -> TaskQueue:
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = TaskQueue(
                key, self._env, self._starter, self._refill, self._measures
            )
        return queue

    def known(self, key: QueueKey) -> TaskQueue | None:
        """The queue, if somebody polls it or a task waits; asking makes none."""
        return self._queues.get(key)

    def of_namespace(self, namespace_id: str) -> list[TaskQueue]:
        """The queues of a namespace that live here, by name."""
        keys = sorted(key for key in self._queues if key.namespace_id == namespace_id)
        return [self._queues[key] for key in keys]

    @property
    def queues(self) -> Collection[TaskQueue]:
        """All that live here."""
        return self._queues.values()

    def is_live(self, key: QueueKey) -> bool:
        """Whether a worker polls the queue; asking makes no queue."""
        queue = self._queues.get(key)
        return queue is not None and queue.is_live()

    def forget_idle(self) -> None:
        """Keep memory bounded by what is in use."""
        for key in [key for key, queue in self._queues.items() if queue.is_idle]:
            del self._queues[key]

    def shard_lost(self, shard_id: int) -> None:
        """The queues of a lost home shard move; whoever owns it makes them anew."""
        for key in [key for key in self._queues if self.home_shard(key) == shard_id]:
            self._queues.pop(key).close(Unavailable(shard_id=shard_id))
