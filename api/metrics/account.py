"""What an account is told of its namespaces, as OpenMetrics."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from prometheus_client.core import GaugeMetricFamily, Metric
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
)

from api.metrics.families import FAMILIES, LABELS_OF_ALL, Family
from api.metrics.points import NamespacePoints, Point
from api.metrics.scrape_limits import ScrapeLimits
from api.metrics.traffic import CellLookup, Traffic
from api.telemetry.exposition import openmetrics
from engine.call import Call
from engine.errors import EngineError
from engine.handlers.handler import CELL_SERVICE, WORKFLOW_SERVICE
from engine.measures import NamespaceMeasures, decode
from engine.protocol.cell_pb2 import ReadMeasuresRequest, ReadMeasuresResponse
from tenancy import (
    Access,
    Act,
    AuditResult,
    NamespaceRef,
    PermissionDenied,
    Principal,
    Snapshot,
    permits,
)

POINTS_MAX = 30_000
"""Of one answer."""

CELL_SECONDS_MAX = 5.0
ACTION = "ReadMetrics"
OPEN_WORKFLOWS = 'ExecutionStatus = "Running"'

Audit = Callable[[Act], AbstractAsyncContextManager[None]]
SnapshotLookup = Callable[[], Snapshot | None]


class Completeness(StrEnum):
    COMPLETE = "complete"
    LIMITED = "limited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a scrape asks for; names of namespaces may end with `*`, and nothing named is all.

    `labels` are those that nobody gets who does not ask for them.
    """

    namespaces: Sequence[str] = ()
    metrics: Sequence[str] = ()
    labels: Sequence[str] = ()

    def has(self, namespace: NamespaceRef) -> bool:
        names = (namespace.name, namespace.full_name)
        return not self.namespaces or any(
            fnmatchcase(name, pattern) for name in names for pattern in self.namespaces
        )

    def families(self) -> list[Family]:
        chosen = [it for it in FAMILIES if not self.metrics or it.name in self.metrics]
        return [family.with_labels(self.labels) for family in chosen]


class AccountMetrics:
    """Reads the door's counts here and asks the cells for theirs; no database is needed."""

    def __init__(
        self,
        *,
        snapshot: SnapshotLookup,
        cells: CellLookup,
        traffic: Traffic,
        audit: Audit,
        monotonic: Callable[[], float],
    ) -> None:
        self._snapshot = snapshot
        self._cells = cells
        self._traffic = traffic
        self._audit = audit
        self._limits = ScrapeLimits(monotonic)

    async def read(self, caller: Principal, choice: Choice) -> tuple[bytes, Completeness]:
        """Raises PermissionDenied for who may read no namespace's metrics, and RateLimited."""
        snapshot = self._snapshot()
        known = [] if snapshot is None else list(snapshot.namespaces.values())
        mine = [it for it in known if it.account_id == caller.account_id]
        readable = [namespace for namespace in mine if may_read(caller, namespace)]
        if mine and not readable:
            act = Act(caller, ACTION, (caller.account_id,), AuditResult.DENIED)
            async with self._audit(act):
                pass
            remedy = "use a key that may read one of its namespaces"
            raise PermissionDenied(ACTION, caller.account_id, remedy)
        self._limits.admit(caller.account_id)
        chosen = [namespace for namespace in readable if choice.has(namespace)]
        told, is_complete = await self._gathered(chosen, choice.families())
        regions = {} if snapshot is None else {cell.id: cell.region for cell in snapshot.cells}
        points, is_limited = _points(chosen, told, choice.families())
        text = await asyncio.to_thread(_text, points, regions)
        if not is_complete:
            return text, Completeness.UNKNOWN
        return text, Completeness.LIMITED if is_limited else Completeness.COMPLETE

    async def _gathered(
        self, namespaces: Sequence[NamespaceRef], families: Sequence[Family]
    ) -> tuple[dict[str, NamespacePoints], bool]:
        """What is known of each namespace, by its id, and whether every cell answered."""
        found = {namespace.id: NamespacePoints() for namespace in namespaces}
        for id, points in found.items():
            points.add_window(self._traffic.last(id))
            points.add_pending(self._traffic.pending(id))
        by_cell: dict[str, list[NamespaceRef]] = defaultdict(list)
        for namespace in namespaces:
            by_cell[namespace.cell].append(namespace)
        asks_open = any(family.series == "open_workflows" for family in families)
        answers = await asyncio.gather(
            *(self._ask(cell, refs, found, asks_open) for cell, refs in by_cell.items())
        )
        return found, all(answers)

    async def _ask(
        self,
        cell: str,
        namespaces: Sequence[NamespaceRef],
        found: Mapping[str, NamespacePoints],
        asks_open: bool,
    ) -> bool:
        """Add what a cell knows of its namespaces; False if it does not answer."""
        try:
            async with asyncio.timeout(CELL_SECONDS_MAX):
                for told in await self._measures(cell, namespaces):
                    found[told.namespace_id].add_window(told.window)
                    found[told.namespace_id].add_waiting(told.waiting)
                for namespace in namespaces if asks_open else ():
                    count = await self._open_workflows(cell, namespace)
                    found[namespace.id].add_open_workflows(count)
        except (EngineError, TimeoutError):
            return False
        return True

    async def _measures(
        self, cell: str, namespaces: Iterable[NamespaceRef]
    ) -> list[NamespaceMeasures]:
        request = ReadMeasuresRequest(namespace_ids=[it.id for it in namespaces])
        call = Call("", "", ACTION, CELL_SECONDS_MAX)
        answer = await self._cells(cell)(
            CELL_SERVICE + "ReadMeasures", request.SerializeToString(), call
        )
        return decode(ReadMeasuresResponse.FromString(answer).measures)

    async def _open_workflows(self, cell: str, namespace: NamespaceRef) -> int:
        request = CountWorkflowExecutionsRequest(
            namespace=namespace.full_name, query=OPEN_WORKFLOWS
        )
        call = Call(namespace.id, namespace.full_name, ACTION, CELL_SECONDS_MAX)
        answer = await self._cells(cell)(
            WORKFLOW_SERVICE + "CountWorkflowExecutions", request.SerializeToString(), call
        )
        return CountWorkflowExecutionsResponse.FromString(answer).count


def may_read(caller: Principal, namespace: NamespaceRef) -> bool:
    """By the role that is for metrics alone, or by what the caller may read besides."""
    if namespace.account_id != caller.account_id:
        return False
    return permits(caller, Access.METRICS, None) or permits(caller, Access.READ, namespace)


_Points = list[tuple[NamespaceRef, Point]]


def _points(
    namespaces: Iterable[NamespaceRef],
    told: Mapping[str, NamespacePoints],
    families: Sequence[Family],
) -> tuple[_Points, bool]:
    """The points of all, and whether that is less than there is."""
    points: _Points = []
    for namespace in namespaces:
        gathered = told[namespace.id]
        for point in gathered.points(families):
            if len(points) == POINTS_MAX:
                return points, True
            points.append((namespace, point))
    return points, any(gathered.is_limited for gathered in told.values())


class _Families:
    """What the exposition format reads."""

    def __init__(self, points: _Points, regions: Mapping[str, str]) -> None:
        self._points = points
        self._regions = regions

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for namespace, (family, labels, value) in self._points:
            found = families.get(family.name)
            if found is None:
                names = (*LABELS_OF_ALL, *family.labels)
                found = GaugeMetricFamily(family.name, family.help, labels=names)
                families[family.name] = found
            region = self._regions.get(namespace.cell, "")
            owner = (namespace.full_name, namespace.account_id, region)
            found.add_metric((*owner, *labels), value)
        yield from families.values()


def _text(points: _Points, regions: Mapping[str, str]) -> bytes:
    return openmetrics(_Families(points, regions))
