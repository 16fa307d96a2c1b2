"""The OpenAPI document of the control plane's own routes says what they do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from api.control.access import ROUTES
from tenancy import Access
from tests.control.visitor import Site

STATUS = "#/components/schemas/google.rpc.Status"
OWN = tuple(ROUTES)


async def document_of(site: Site) -> dict[str, Any]:
    told: dict[str, Any] = await site.stranger().get("/api/v1/openapi.json")
    return told


async def test_every_route_documents_its_refusals_as_they_are(site: Site) -> None:
    document = await document_of(site)
    operations = [document["paths"][path][verb.lower()] for verb, path in OWN]
    operations.append(document["paths"]["/v1/metrics"]["get"])
    for operation in operations:
        answers = operation["responses"]
        assert "422" not in answers
        for status in ("400", "401", "403", "404", "409", "429"):
            assert answers[status]["content"]["application/json"]["schema"] == {"$ref": STATUS}
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert "#/components/schemas/ValidationError" not in str(document)


async def test_the_document_asks_for_the_credentials_that_a_route_asks_for(site: Site) -> None:
    """What it says suffices lets one in; and without any, nothing but the public routes answers."""
    document = await document_of(site)
    schemes = document["components"]["securitySchemes"]
    owner = await site.owner()
    key = await owner.key()
    for verb, path in OWN:
        wanted = document["paths"][path][verb.lower()]["security"]
        assert {name for each in wanted for name in each} <= schemes.keys()
        assert (wanted == []) == (Access.PUBLIC in ROUTES[verb, path].access)
        if not wanted:
            continue
        address = re.sub(r"\{\w+\}", "x", path)
        assert (await site.stranger().call(verb, address)).status_code == 401, path
        by_key = (await site.program(key).call(verb, address)).status_code != 401
        assert by_key == ({"apiKey": []} in wanted), path
        sessions = [each for each in wanted if "session" in each]
        assert [("csrfToken" in each) for each in sessions] == [verb != "GET"], path


@pytest.mark.parametrize(
    ("path", "verb", "wanted"),
    [
        ("/api/v1/sign-up", "post", []),
        ("/api/v1/logout", "post", [{"session": [], "csrfToken": []}]),
        ("/api/v1/session", "get", [{"session": []}]),
        ("/api/v1/usage", "get", [{"apiKey": []}, {"session": []}]),
        ("/api/v1/security-policy", "put", [{"session": [], "csrfToken": []}]),
    ],
)
async def test_credentials_are_documented_as_the_rows_say(
    site: Site, path: str, verb: str, wanted: list[dict[str, list[str]]]
) -> None:
    document = await document_of(site)
    assert document["paths"][path][verb]["security"] == wanted
