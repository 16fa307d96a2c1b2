"""The OpenAPI document, derived from the routes, the descriptors and the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc.status_pb2 import Status

from api.catalogue import CATALOGUE, METHODS, Plane, Row, Scope
from api.openapi_schemas import Schemas, is_offered, is_textual
from api.transports.http_rule import Route
from tenancy import Access

TITLE = "Perdure API"
VERSION = "1"
LISTED_PREFIXES = ("/api/v1/", "/cloud/")
ID_CHARACTERS_MAX = 1_000
QUERY_DEPTH_MAX = 3
_VARIABLE = re.compile(r"\{[^}]+\}")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")

_DESCRIPTION = """\
Durable execution over HTTP. Bodies are the protocol's messages as JSON (`application/json`, \
payloads in shorthand) or as protobuf (`application/x-protobuf`); `Accept` chooses the form of the \
answer. Calls that wait take `?timeout=` in seconds, at most 60, and answer empty when nothing \
came. Every method can also be called as `POST /<package.Service>/<Method>`."""

_ERRORS = {
    "400": "The request is not acceptable; the message names the field, its limit and a remedy.",
    "401": "No credential, or one that is unknown, revoked or expired.",
    "403": "The credential does not permit this.",
    "404": "There is no such thing, or none that the caller may know of.",
    "409": "It exists already, or it changed in the meantime.",
    "429": "A limit is reached; try again after `Retry-After` seconds.",
}

_RARE_ERRORS = {
    "413": "The body is too large; the message says what it may have.",
    "421": "The call is about another namespace than the host that it was sent to.",
    "503": "What is needed is away for the moment; call again.",
}
_FASTAPI_ERRORS = frozenset({"HTTPValidationError", "ValidationError"})


def openapi(
    routes: Iterable[Route], extra: Callable[[], Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The document of every served method; `extra` gives one whose paths are added."""
    schemas = Schemas()
    error = schemas.reference(Status.DESCRIPTOR)
    paths: dict[str, dict[str, Any]] = {}
    seen: dict[str, int] = {}
    shapes: dict[str, tuple[str, ...]] = {}
    for route in _listed(routes):
        method = METHODS[route.method_full_name]
        operation_id = f"{method.containing_service.name}_{method.name}"
        seen[operation_id] = seen.get(operation_id, 0) + 1
        if seen[operation_id] > 1:
            operation_id = f"{operation_id}_{seen[operation_id]}"
        path, names = _path(route, shapes)
        operation = _operation(route, names, schemas, operation_id)
        paths.setdefault(path, {})[route.verb.lower()] = operation
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": schemas.found,
            "responses": {"Error": {"description": "A refusal.", "content": _json(error)}},
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{"apiKey": []}],
    }
    if extra is not None:
        _merge(document, extra())
    return document


def _listed(routes: Iterable[Route]) -> Iterator[Route]:
    """The paths worth showing: one form of each, of methods that are served."""
    served = [r for r in routes if CATALOGUE[r.method_full_name].plane is not Plane.NONE]
    has_path = {r.method_full_name for r in served if r.template.startswith(LISTED_PREFIXES)}
    for route in served:
        is_path = route.template.startswith(LISTED_PREFIXES)
        if is_path or route.method_full_name not in has_path:
            yield route


def _path(route: Route, shapes: dict[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...]]:
    """The path and its variables' names: two paths of one shape are one path in this format."""
    shape = _VARIABLE.sub("{}", route.template)
    lasts = tuple(f.removesuffix(".name").rpartition(".")[2] for f in route.path_fields)
    names = shapes.setdefault(shape, lasts)
    return shape.format(*(f"{{{name}}}" for name in names)), names


def _operation(
    route: Route, names: tuple[str, ...], schemas: Schemas, operation_id: str
) -> dict[str, Any]:
    method = METHODS[route.method_full_name]
    row = CATALOGUE[route.method_full_name]
    operation: dict[str, Any] = {
        "operationId": operation_id,
        "summary": _sentence(method.name),
        "description": _who_may(row),
        "tags": [method.containing_service.name],
        "parameters": [*_path_parameters(names)],
    }
    if route.body:
        is_unrouted = row.scope is Scope.NAMESPACE and "namespace" not in route.path_fields
        needed = ["namespace"] if is_unrouted else []
        body = schemas.request(method.input_type, route.path_fields, needed)
        operation["requestBody"] = {"required": is_unrouted, "content": _json(body)}
    else:
        operation["parameters"] += _query_parameters(route, method.input_type, schemas)
    if row.access == (Access.PUBLIC,):
        operation["security"] = []
    answer = _json(schemas.reference(method.output_type))
    operation["responses"] = {
        "200": {"description": "The answer.", "content": answer},
        **{status: _error(text) for status, text in _ERRORS.items()},
        "default": {"$ref": "#/components/responses/Error"},
    }
    return operation


def _error(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": _json({"$ref": "#/components/schemas/google.rpc.Status"}),
    }


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _sentence(name: str) -> str:
    words = [word if word.isupper() else word.lower() for word in _WORD.findall(name)]
    return " ".join(words).capitalize()


def _who_may(row: Row) -> str:
    if row.access == (Access.PUBLIC,):
        return "Needs no credential."
    where = "in the namespace" if row.scope is Scope.NAMESPACE else "to the account"
    if row.is_open:
        return f"Needs access {where}, or to the resource itself."
    return f"Needs {' or '.join(row.access).replace('_', ' ')} access {where}."


def _path_parameters(names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for name in names:
        schema = {"type": "string", "minLength": 1, "maxLength": ID_CHARACTERS_MAX}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(
    route: Route, request: Descriptor, schemas: Schemas
) -> Iterator[dict[str, Any]]:
    for name, field in _query_fields(request):
        # Paths name fields as the protocol does, queries as JSON does; a field is given once.
        if name not in route.path_fields:
            yield {"name": _json_name(name), "in": "query", "schema": schemas.field(field)}


def _query_fields(
    message: Descriptor, parents: tuple[str, ...] = ()
) -> Iterator[tuple[str, FieldDescriptor]]:
    for field in message.fields:
        path = (*parents, field.name)
        if not is_offered(field):
            continue
        if is_textual(field):
            yield ".".join(path), field
        elif not field.is_repeated and len(path) < QUERY_DEPTH_MAX:
            inner = field.message_type
            assert inner is not None
            yield from _query_fields(inner, path)


def _json_name(dotted: str) -> str:
    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    return ".".join(camel(name) for name in dotted.split("."))


def _merge(document: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Adds the paths of our own routes, which refuse as all others do.

    FastAPI tells of a refusal of its own instead, which `api.answering` never lets out.
    """
    refusals = {status: _error(text) for status, text in {**_ERRORS, **_RARE_ERRORS}.items()}
    for path, operations in other.get("paths", {}).items():
        for verb, operation in operations.items():
            answers = {**operation["responses"], **refusals}
            answers.pop("422", None)
            document["paths"].setdefault(path, {})[verb] = {**operation, "responses": answers}
    for kind, components in other.get("components", {}).items():
        known = {name: it for name, it in components.items() if name not in _FASTAPI_ERRORS}
        document["components"].setdefault(kind, {}).update(known)
