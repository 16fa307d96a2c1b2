"""What a node holds at this moment, as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.cell.directory import Directory
from engine.matching.matching import Matching
from engine.measures import KINDS, Measures, NamespaceMeasures, Reading, Waiting


def gauges(directory: Directory, matching: Matching) -> Iterator[Reading]:
    """For operators: without any tenant in them."""
    for kind in KINDS:
        queues = [queue for queue in matching.queues if queue.key.kind == kind]
        label = {"kind": kind}
        yield Reading("polls_waiting", label, sum(queue.poll_count for queue in queues))
        yield Reading("backlog_tasks", label, sum(queue.backlog_count for queue in queues))
        oldest = max((queue.oldest_seconds for queue in queues), default=0.0)
        yield Reading("backlog_age_seconds", label, oldest)
        yield Reading("task_queues", label, len(queues))
    sizes = [shard.memory.size for shard in directory.shards]
    yield Reading("shards_owned", {}, len(sizes))
    yield Reading("runs_in_memory", {}, sum(count for count, _ in sizes))
    yield Reading("runs_in_memory_bytes", {}, sum(size for _, size in sizes))


def of_namespaces(
    namespace_ids: Sequence[str], measures: Measures, matching: Matching
) -> list[NamespaceMeasures]:
    """For the tenants whose these namespaces are."""
    return [
        NamespaceMeasures(
            namespace_id,
            measures.windows.last(namespace_id),
            [
                Waiting(queue.key.kind, queue.key.name, queue.backlog_count, queue.oldest_seconds)
                for queue in matching.of_namespace(namespace_id)
                if not queue.is_sticky
            ],
        )
        for namespace_id in namespace_ids
    ]
