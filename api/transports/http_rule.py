"""The HTTP route table, derived from service descriptors.

Each method has its published bindings (`google.api.http`), those of `EXTRA_BINDINGS`, and
`POST /<package.Service>/<Method>`. Paths are matched raw, one percent-encoded segment at a
time, so that an encoded slash stays inside its variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from api.transports.errors import InvalidPath, RouteCollision
from api.transports.http_fields import find_field

CACHED_PATHS_MAX = 1024
NAMESPACE_PREFIXES = ("/api/v1/namespaces/{namespace}", "/namespaces/{namespace}")
_VERBS = ("get", "put", "post", "delete", "patch")
_ESCAPES = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})+")
_VARIABLE = re.compile(r"\{([a-z0-9_.]+)\}")


class Binding(NamedTuple):
    """A path below a namespace for a method whose published descriptor gives it none."""

    method: str
    verb: str
    path: str


_WORKFLOW = "temporal.api.workflowservice.v1.WorkflowService"
_OPERATOR = "temporal.api.operatorservice.v1.OperatorService"
_QUEUE = "/task-queues/{task_queue.name}"
_UPDATE = (
    "/workflows/{update_ref.workflow_execution.workflow_id}/updates/{update_ref.update_id}/poll"
)
EXTRA_BINDINGS = (
    Binding(f"{_WORKFLOW}.PollWorkflowTaskQueue", "POST", f"{_QUEUE}/poll-workflow-task"),
    Binding(f"{_WORKFLOW}.PollActivityTaskQueue", "POST", f"{_QUEUE}/poll-activity-task"),
    Binding(f"{_WORKFLOW}.PollNexusTaskQueue", "POST", f"{_QUEUE}/poll-nexus-task"),
    Binding(f"{_WORKFLOW}.RespondWorkflowTaskCompleted", "POST", "/workflow-task-complete"),
    Binding(f"{_WORKFLOW}.RespondWorkflowTaskFailed", "POST", "/workflow-task-fail"),
    Binding(f"{_WORKFLOW}.RespondQueryTaskCompleted", "POST", "/query-task-complete"),
    Binding(f"{_WORKFLOW}.RespondNexusTaskCompleted", "POST", "/nexus-task-complete"),
    Binding(f"{_WORKFLOW}.RespondNexusTaskFailed", "POST", "/nexus-task-fail"),
    Binding(f"{_WORKFLOW}.ExecuteMultiOperation", "POST", "/multi-operation"),
    Binding(f"{_WORKFLOW}.PollWorkflowExecutionUpdate", "POST", _UPDATE),
    Binding(f"{_WORKFLOW}.PollWorkflowExecutionUpdate", "GET", _UPDATE),
    Binding(
        f"{_WORKFLOW}.DeleteWorkflowExecution",
        "DELETE",
        "/workflows/{workflow_execution.workflow_id}",
    ),
    Binding(
        f"{_WORKFLOW}.ResetStickyTaskQueue",
        "POST",
        "/workflows/{execution.workflow_id}/reset-sticky-task-queue",
    ),
    Binding(f"{_WORKFLOW}.ShutdownWorker", "POST", "/workers/shutdown"),
    Binding(f"{_WORKFLOW}.ListTaskQueuePartitions", "GET", f"{_QUEUE}/partitions"),
    Binding(f"{_WORKFLOW}.DeleteActivityExecution", "DELETE", "/activities/{activity_id}"),
    Binding(
        f"{_WORKFLOW}.DeleteNexusOperationExecution", "DELETE", "/nexus-operations/{operation_id}"
    ),
    Binding(f"{_WORKFLOW}.DeprecateNamespace", "POST", "/deprecate"),
    Binding(f"{_OPERATOR}.AddSearchAttributes", "POST", "/search-attributes"),
    Binding(f"{_OPERATOR}.RemoveSearchAttributes", "POST", "/search-attributes/remove"),
    Binding(f"{_OPERATOR}.DeleteNamespace", "DELETE", ""),
)


@dataclass(frozen=True, slots=True)
class Route:
    """One way to call a method.

    `method_full_name` is the descriptor's (`package.Service.Method`); `path_fields` are dotted
    request fields, in the order of the template's variables.
    """

    verb: str
    template: str
    method_full_name: str
    body: str
    path_fields: tuple[str, ...]


class Match(NamedTuple):
    """A route and the decoded values of its path's variables, by request field."""

    route: Route
    variables: Mapping[str, str]


def derive_routes(
    services: Iterable[ServiceDescriptor], bindings: Sequence[Binding] = EXTRA_BINDINGS
) -> list[Route]:
    """Every route of every method; a binding of a service that is not given is left out."""
    routes: list[Route] = []
    for service in services:
        for method in service.methods:
            routes.append(_route(method, "POST", f"/{service.full_name}/{method.name}", "*"))
            routes.extend(_published(method))
            for _, verb, path in (b for b in bindings if b.method == method.full_name):
                body = "*" if verb == "POST" else ""
                for prefix in NAMESPACE_PREFIXES:
                    routes.append(_route(method, verb, prefix + path, body))
    return routes


def _published(method: MethodDescriptor) -> Iterator[Route]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb in _VERBS:
            yield _route(method, verb.upper(), getattr(binding, verb), binding.body)


def _route(method: MethodDescriptor, verb: str, template: str, body: str) -> Route:
    fields = tuple(_VARIABLE.findall(template))
    for name in fields:
        # A variable that names no field must fail when the table is built, not at a call.
        find_field(method.input_type, name)
    return Route(verb, template, method.full_name, body, fields)


@dataclass(slots=True)
class _Node:
    literals: dict[bytes, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """Finds the route of a raw path: literal segments win over variables."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)
        # Workers ask for the same few paths over and over.
        self.match = lru_cache(maxsize=CACHED_PATHS_MAX)(self._match)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.template.split("/")[1:]:
            if _VARIABLE.fullmatch(segment):
                node.variable = node.variable or _Node()
                node = node.variable
            elif "{" in segment or "*" in segment or not segment:
                raise ValueError(f"{route.template}: a segment is one name or one variable")
            else:
                node = node.literals.setdefault(segment.encode(), _Node())
        other = node.routes.setdefault(route.verb, route)
        if other is not route:
            raise RouteCollision(f"{route.verb} {route.template} is also {other.template}")

    def _match(self, verb: str, raw_path: bytes) -> Match | None:
        """The route and its variables; `raw_path` has no query. Refuses ill-encoded values."""
        segments = raw_path.split(b"/")
        for node, values in _walk(self._root, segments, 1, ()):
            route = node.routes.get(verb)
            if route is not None:
                pairs = zip(route.path_fields, values, strict=True)
                return Match(route, {name: _decode(name, value) for name, value in pairs})
        return None

    def verbs(self, raw_path: bytes) -> frozenset[str]:
        """The verbs that this path has, for the Allow header of a 405; none means a 404."""
        found = _walk(self._root, raw_path.split(b"/"), 1, ())
        return frozenset(verb for node, _ in found for verb in node.routes)


def _walk(
    node: _Node, segments: list[bytes], depth: int, values: tuple[bytes, ...]
) -> Iterator[tuple[_Node, tuple[bytes, ...]]]:
    """The nodes that a path leads to, the most literal first."""
    while depth < len(segments):
        segment = segments[depth]
        depth += 1
        literal = node.literals.get(segment)
        variable = node.variable if segment else None
        if literal is not None:
            if variable is not None:
                yield from _walk(literal, segments, depth, values)
            else:
                node = literal
                continue
        if variable is None:
            return
        node, values = variable, (*values, segment)
    yield node, values


def _decode(name: str, segment: bytes) -> str:
    if b"%" in segment:
        if _ESCAPES.fullmatch(segment) is None:
            raise InvalidPath(name, "a percent sign must be followed by two hexadecimal digits")
        segment = unquote_to_bytes(segment)
    try:
        return segment.decode()
    except UnicodeDecodeError:
        raise InvalidPath(name, "not UTF-8") from None
