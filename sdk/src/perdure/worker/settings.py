"""What a worker is made with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from perdure.protojson import Message


@dataclass(frozen=True)
class WorkerSettings:
    """Limits and names of one worker. A cache of 0 workflows turns sticky queues off."""

    task_queue: str
    identity: str
    max_cached_workflows: int = 1000
    max_concurrent_workflow_tasks: int = 100
    max_concurrent_activities: int = 100
    max_concurrent_workflow_task_polls: int = 5
    max_concurrent_activity_task_polls: int = 5
    sticky_timeout: timedelta = timedelta(seconds=10)
    graceful_shutdown_timeout: timedelta = timedelta(0)
    instance_key: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        for name in (
            "max_concurrent_workflow_tasks",
            "max_concurrent_activities",
            "max_concurrent_workflow_task_polls",
            "max_concurrent_activity_task_polls",
        ):
            # With one slot or poll, the sticky queue and the normal one would starve each other.
            least = 2 if self.max_cached_workflows and "workflow" in name else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")

    @property
    def normal_task_queue(self) -> Message:
        """The queue that all workers share."""
        return {"name": self.task_queue, "kind": "TASK_QUEUE_KIND_NORMAL"}

    @property
    def sticky_task_queue(self) -> Message:
        """The queue of this worker alone, for the workflows it has in its cache."""
        return {
            "name": f"{self.identity}-{self.instance_key}",
            "kind": "TASK_QUEUE_KIND_STICKY",
            "normalName": self.task_queue,
        }
