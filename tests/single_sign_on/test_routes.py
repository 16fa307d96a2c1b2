"""Single sign-on through the public API, as the console and other programs use it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.authentication import SESSION_COOKIE
from api.composition import CloudSettings, open_cloud
from api.control.single_sign_on import SIGN_ON_COOKIE
from api.installation import installation
from engine.persistence.memory import MemoryStore
from tenancy.outgoing import Outgoing
from tests.control.visitor import ADDRESS, Site
from tests.name_server import NameServer, name_server
from tests.single_sign_on.identity_provider import CLIENT_SECRET, IdentityProvider
from tests.single_sign_on.site import API, answered, connected, settings


async def to_this_machine(host: str, port: int) -> list[str]:
    """What somebody may have a name of their own resolve to."""
    return ["127.0.0.1"]


def cookie(response: httpx.Response, name: str) -> SimpleCookie:
    found = [it for it in response.headers.get_list("set-cookie") if it.startswith(f"{name}=")]
    return SimpleCookie(found[-1]) if found else SimpleCookie()


async def test_a_visitor_logs_in_and_out(site: Site, provider: IdentityProvider) -> None:
    owner = await connected(site, provider, "one.test")
    ada = site.stranger()
    begun = await ada.call("POST", f"{API}/begin", {"email": "ada@one.test", "next_page": "/usage"})
    kept = cookie(begun, SIGN_ON_COOKIE)[SIGN_ON_COOKIE]
    assert (kept["httponly"], kept["samesite"], kept["path"]) == (True, "lax", "/")
    assert kept.value not in begun.text
    url = begun.json()["authorization_url"]
    query = parse_qs(urlsplit(url).query)
    assert query["redirect_uri"] == [f"{ADDRESS}/login/sso/{owner.account_id}"]
    assert query["login_hint"] == ["ada@one.test"]
    assert query["code_challenge_method"] == ["S256"]
    assert kept.value not in url

    finished = await ada.call("POST", f"{API}/finish", await answered(begun.json(), owner))
    told = finished.json()
    assert (told["next_page"], told["test"]) == ("/usage", None)
    assert told["session"]["email"] == "ada@one.test"
    session = cookie(finished, SESSION_COOKIE)[SESSION_COOKIE]
    assert session["httponly"]
    assert not cookie(finished, SIGN_ON_COOKIE)[SIGN_ON_COOKIE].value
    assert (await ada.get("/api/v1/session"))["account_id"] == owner.account_id
    ada.http.headers["X-CSRF-Token"] = told["session"]["csrf_token"]
    await ada.post("/api/v1/logout")
    assert (await ada.call("GET", "/api/v1/session")).status_code == 401


async def test_a_refusal_names_its_reason_for_programs(
    site: Site, provider: IdentityProvider
) -> None:
    owner = await connected(site, provider, "two.test")
    ada = site.stranger()
    begun = await ada.post(f"{API}/begin", {"email": "ada@two.test"})
    answer = await answered(begun, owner)
    provider.faults = {"claims": lambda it: {**it, "aud": "other"}}
    refused = await ada.call("POST", f"{API}/finish", answer)
    assert refused.status_code == 403
    assert refused.json()["details"][0]["reason"] == "AUDIENCE_WRONG"
    assert SESSION_COOKIE not in refused.headers.get("set-cookie", "")
    again = await ada.call("POST", f"{API}/finish", answer)
    assert again.json()["details"][0]["reason"] == "ATTEMPT_OVER"
    elsewhere = await site.stranger().call("POST", f"{API}/finish", answer)
    assert elsewhere.json()["details"][0]["reason"] == "NOT_BEGUN"


async def test_the_settings_tell_no_secret_and_another_account_nothing(
    site: Site, provider: IdentityProvider
) -> None:
    owner = await connected(site, provider, "three.test")
    shown = await owner.get(API)
    assert CLIENT_SECRET not in str(shown)
    assert shown["provider"]["issuer"] == provider.issuer
    assert [each["name"] for each in shown["domains"]] == ["three.test"]
    rival = await site.owner()
    shown = await rival.get(API)
    assert (shown["provider"], shown["domains"]) == (None, [])
    for verb, path in (("POST", "/domains/three.test/proof"), ("DELETE", "/domains/three.test")):
        missing = await rival.call(verb, API + path)
        assert missing.status_code == 404
    assert (await rival.call("DELETE", API)).status_code == 404
    assert (await rival.call("POST", f"{API}/test")).status_code == 404


async def test_a_key_reads_the_settings_and_changes_none(
    site: Site, provider: IdentityProvider
) -> None:
    owner = await connected(site, provider, "four.test")
    program = site.program(await owner.key())
    assert (await program.get(API))["provider"] is not None
    refused = await program.call("PUT", API, settings(provider, resource_version=1))
    assert refused.status_code == 403
    assert (await program.call("DELETE", API)).status_code == 403


async def test_a_test_ends_in_a_report_and_no_session(
    site: Site, provider: IdentityProvider
) -> None:
    owner = await connected(site, provider, "five.test")
    begun = await owner.post(f"{API}/test")
    finished = await owner.call("POST", f"{API}/finish", await answered(begun, owner))
    told = finished.json()
    assert told["session"] is None
    assert told["test"]["email"] == "ada@five.test"
    assert told["test"]["is_new_user"]
    assert SESSION_COOKIE not in finished.headers.get("set-cookie", "").replace(SIGN_ON_COOKIE, "")
    assert (await owner.get("/api/v1/session"))["email"] == owner.email
    assert (await owner.get(API))["provider"]["worked_at"] is not None


async def test_a_foreign_page_begins_and_ends_nothing(
    site: Site, provider: IdentityProvider
) -> None:
    await connected(site, provider, "six.test")
    page = site.stranger(Origin="https://evil.test")
    for step, body in (
        ("begin", {"email": "ada@six.test"}),
        ("finish", {"account_id": "x", "state": "y"}),
    ):
        assert (await page.call("POST", f"{API}/{step}", body)).status_code == 403


async def test_log_ins_are_begun_so_often_and_no_more(
    site: Site, provider: IdentityProvider
) -> None:
    await connected(site, provider, "seven.test")
    ada = site.stranger()
    body = {"email": "ada@seven.test"}
    answers = [(await ada.call("POST", f"{API}/begin", body)).status_code for _ in range(6)]
    assert answers == [200] * 5 + [429]


async def test_an_address_without_single_sign_on_is_told_so(site: Site) -> None:
    refused = await site.stranger().call("POST", f"{API}/begin", {"email": "bob@example.com"})
    assert refused.status_code == 400
    assert "log in by password" in refused.json()["message"]


@pytest.fixture(scope="module")
async def names() -> AsyncIterator[NameServer]:
    async with name_server() as server:
        yield server


@pytest.fixture(scope="module")
async def strict(
    tmp_path_factory: pytest.TempPathFactory, names: NameServer
) -> AsyncIterator[Site]:
    """A cloud as customers have it: it asks nobody on its own machine but the name server."""
    outgoing = Outgoing(resolve=to_this_machine, read_texts=names.read_texts)
    with installation(tmp_path_factory.mktemp("strict")) as held:
        settings = CloudSettings(ADDRESS, outgoing=outgoing)
        async with open_cloud(held, MemoryStore(), settings) as cloud:
            yield Site(cloud)


async def test_what_is_no_public_address_is_no_issuer_where_it_counts(
    strict: Site, provider: IdentityProvider
) -> None:
    owner = await strict.owner()
    for issuer in (provider.issuer, "https://login.example.com", "https://10.0.0.1"):
        refused = await owner.call("PUT", API, settings(provider) | {"issuer": issuer})
        assert refused.status_code == 400, refused.text
        violation = refused.json()["details"][0]["fieldViolations"][0]
        assert violation["field"] == "issuer"
    assert provider.asked == []


async def test_a_domain_is_proven_by_a_record_of_its_zone(strict: Site, names: NameServer) -> None:
    owner = await strict.owner()
    added = await owner.post(f"{API}/domains", {"name": "eight.test"})
    record = added["proof_record"]
    assert record == {"name": "_perdure.eight.test", "type": "TXT", "value": added["proof"]}
    assert added["proof_address"] == "https://eight.test/.well-known/perdure-domain.txt"
    unproven = await owner.call("POST", f"{API}/domains/eight.test/proof")
    assert unproven.status_code == 400
    message = unproven.json()["message"]
    assert "TXT record _perdure.eight.test: the name does not exist" in message
    assert f"file {added['proof_address']}: could not be asked, it leads to an address" in message
    value = record["value"].encode()
    names.records[record["name"]] = [(b"v=spf1 -all",), (value[:9], value[9:])]
    await owner.post(f"{API}/domains/eight.test/proof")
    assert [each["proven_at"] is not None for each in (await owner.get(API))["domains"]] == [True]
    assert names.asked == ["_perdure.eight.test TXT"] * 2


@pytest.mark.parametrize("text", ["\0", "\ud800", "ä" * 300, "x" * 7_000])
async def test_no_text_is_too_strange_for_an_answer(
    site: Site, provider: IdentityProvider, text: str
) -> None:
    owner = await site.owner()
    begun = site.stranger()
    begun.http.cookies.set("perdure_sign_on", "x" * 43)
    calls = [
        (begun, "POST", "/begin", {"email": text, "next_page": text[:500]}),
        (begun, "POST", "/begin", {"email": f"{text}@{text}.test"}),
        (begun, "POST", "/finish", {"account_id": text[:100], "state": text, "iss": text}),
        (begun, "POST", "/finish", {"account_id": "x", "code": text, "error": text}),
        (owner, "POST", "/domains", {"name": text[:900]}),
        *(
            (owner, "PUT", "", {**settings(provider), name: text})
            for name in ("issuer", "client_id", "client_secret", "break_glass_user_id")
        ),
    ]
    for visitor, verb, path, body in calls:
        content = json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        answer = await visitor.http.request(verb, API + path, content=content, headers=headers)
        assert 400 <= answer.status_code < 500, (path, body, answer.text)
