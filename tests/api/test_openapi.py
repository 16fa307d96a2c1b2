"""The OpenAPI document says what the door does: all of it, and in the door's own forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import orjson
import pytest

from api.catalogue import CATALOGUE, SERVICES, Plane
from api.openapi import openapi
from api.transports.http_rule import Router, derive_routes
from tests.api.world import World

ROUTES = derive_routes(SERVICES)
ROUTER = Router(ROUTES)
DOCUMENT = openapi(ROUTES)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in DOCUMENT["paths"].items():
        for verb, operation in verbs.items():
            yield path, verb.upper(), operation


def filled(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x", path)


def test_every_served_method_is_listed_and_no_other() -> None:
    listed = set()
    for path, verb, operation in operations():
        match = ROUTER.match(verb, filled(path).encode())
        assert match is not None, path
        service, _, method = match.route.method_full_name.rpartition(".")
        assert operation["operationId"].startswith(f"{service.rpartition('.')[2]}_{method}")
        listed.add(match.route.method_full_name)
    assert listed == {name for name, row in CATALOGUE.items() if row.plane is not Plane.NONE}


def test_operation_ids_and_shapes_of_paths_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    assert len({filled(path) for path in DOCUMENT["paths"]}) == len(DOCUMENT["paths"])


def test_every_variable_of_a_path_is_described() -> None:
    for path, _, operation in operations():
        described = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert described == re.findall(r"\{([^}]+)\}", path)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_to_a_component() -> None:
    components = DOCUMENT["components"]
    used = set(references(DOCUMENT))
    assert len(used) > 200
    for reference in used:
        _, _, kind, name = reference.split("/")
        assert name in components[kind], reference


def test_every_operation_documents_its_refusals() -> None:
    for _, _, operation in operations():
        assert {"200", "400", "401", "403", "404", "default"} <= operation["responses"].keys()


SAMPLES = {"boolean": "true", "integer": "1", "number": "1.5", "string": "0", "array": "0"}


def sample(schema: dict[str, Any]) -> str:
    """A text that fits the schema of a query parameter."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "array":
        return sample(schema["items"])
    chosen = schema.get("enum") or schema.get("examples")
    if chosen:
        return str(chosen[0])
    return "YQ==" if "contentEncoding" in schema else SAMPLES[schema.get("type", "string")]


async def test_the_door_takes_every_query_parameter_that_is_documented() -> None:
    async with World().client() as client:
        for path, verb, operation in operations():
            names = {p["name"]: sample(p["schema"]) for p in operation["parameters"]}
            query = {n: v for n, v in names.items() if f"{{{n}}}" not in path}
            if query:
                answer = await client.request(verb, filled_for_acme(path), params=query)
                message = answer.json().get("message", "")
                assert answer.status_code == 200 or "not offered" in message, (path, message)


def filled_for_acme(path: str) -> str:
    return filled(path.replace("{namespace}", "orders.acme"))


@pytest.mark.parametrize(
    ("path", "verb", "body"),
    [
        (
            "/api/v1/namespaces/{namespace}/workflows/{workflow_id}",
            "post",
            {
                "workflowType": {"name": "Order"},
                "workflowRunTimeout": "1.5s",
                "workflowIdReusePolicy": "WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE",
                "input": [7, {"a": None}],
                "memo": {"fields": {"k": "v"}},
                "retryPolicy": {"maximumAttempts": 3, "backoffCoefficient": 2.0},
            },
        ),
        (
            "/api/v1/namespaces/{namespace}/workflow-task-complete",
            "post",
            {"taskToken": "YQ==", "commands": [{"startTimerCommandAttributes": {"timerId": "1"}}]},
        ),
    ],
)
async def test_a_documented_body_is_a_body_that_the_door_takes(
    path: str, verb: str, body: dict[str, Any]
) -> None:
    content = DOCUMENT["paths"][path][verb]["requestBody"]["content"]
    body_validator = validator(content["application/json"]["schema"])
    assert body_validator.is_valid(body)
    assert not body_validator.is_valid({**body, "nope": 1})
    async with World().client() as client:
        answer = await client.request(verb.upper(), filled_for_acme(path), json=body)
    assert answer.status_code == 200, answer.text


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]})


def test_every_schema_is_a_json_schema() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name


async def test_what_the_fallback_serves_is_listed_too() -> None:
    extra: dict[str, Any] = {
        "paths": {"/api/v1/login": {"post": {"operationId": "log_in", "responses": {}}}},
        "components": {"schemas": {"Login": {"type": "object"}}},
    }
    async with World().client(None, extra_openapi=lambda: extra) as client:
        answer: httpx.Response = await client.get("/api/v1/openapi.json")
    document = orjson.loads(answer.content)
    added = document["paths"]["/api/v1/login"]["post"]
    assert added["operationId"] == "log_in"
    assert added["responses"].keys() >= {"400", "401", "403", "404", "409", "429"}
    assert "Login" in document["components"]["schemas"]
    assert len(document["paths"]) == len(DOCUMENT["paths"]) + 1
