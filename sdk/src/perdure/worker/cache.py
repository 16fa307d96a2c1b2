"""Live workflow instances between their tasks."""

from __future__ import annotations

from collections import OrderedDict

from perdure.runtime.instance import WorkflowInstance


class WorkflowCache:
    """Instances by run id, the least recently used first. Whoever takes one out owns it."""

    def __init__(self, instance_count_max: int) -> None:
        self._instance_count_max = instance_count_max
        self._instances: OrderedDict[str, WorkflowInstance] = OrderedDict()

    def take(self, run_id: str) -> WorkflowInstance | None:
        """Remove and return the run's instance, if there is one."""
        return self._instances.pop(run_id, None)

    def drop(self, instance: WorkflowInstance) -> bool:
        """Remove this very instance; false if it is not here."""
        if self._instances.get(instance.run.run_id) is not instance:
            return False
        del self._instances[instance.run.run_id]
        return True

    def put(self, instance: WorkflowInstance) -> list[WorkflowInstance]:
        """Keep an instance; the result is what must be evicted for it."""
        evicted = []
        if (other := self._instances.pop(instance.run.run_id, None)) is not None:
            # A query was answered by a rebuilt instance meanwhile: the one that knows more stays.
            if other.last_event_id > instance.last_event_id:
                instance, other = other, instance
            evicted.append(other)
        self._instances[instance.run.run_id] = instance
        while len(self._instances) > self._instance_count_max:
            evicted.append(self._instances.popitem(last=False)[1])
        return evicted

    def clear(self) -> list[WorkflowInstance]:
        """Remove and return all instances."""
        instances = list(self._instances.values())
        self._instances.clear()
        return instances
