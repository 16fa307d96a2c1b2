from __future__ import annotations

from pathlib import Path

import pytest

from api.composition import CloudSettings, open_cloud
from api.installation import installation
from engine.persistence.memory import MemoryStore
from tests.control.visitor import ADDRESS, PASSWORD, Site

SIGN_UP = "/api/v1/sign-up"
LOGIN = "/api/v1/login"
SESSION = "/api/v1/session"


def credentials(site: Site) -> dict[str, str]:
    """Of somebody who is no customer yet."""
    return {"email": site.new_email(), "password": PASSWORD}


async def test_sign_up_opens_a_session_of_a_new_account(site: Site) -> None:
    visitor = site.stranger()
    answer = await visitor.call("POST", SIGN_UP, {**credentials(site), "account_name": "Ada Ltd"})
    assert answer.status_code == 201
    told = answer.json()
    session = await visitor.get(SESSION)
    assert session["account_name"] == "Ada Ltd"
    for field in ("account_id", "user_id", "email", "csrf_token"):
        assert session[field] == told[field]


async def test_the_cookie_is_kept_from_scripts_and_from_other_sites(site: Site) -> None:
    answer = await site.stranger().call("POST", SIGN_UP, credentials(site))
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("perdure_session=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert cookie.split(";")[0].partition("=")[2] not in answer.text


async def test_the_session_tells_what_its_user_may_do(site: Site) -> None:
    owner = await site.verified_owner()
    namespace = await owner.namespace()
    member = await site.member(owner, "ROLE_FINANCE_ADMIN", **{namespace: "PERMISSION_WRITE"})
    everywhere = ["account_read", "finance", "usage"]
    here = ["account_read", "finance", "read", "usage", "worker", "write"]
    assert (await member.get(SESSION))["access"] == everywhere
    assert (await member.get(SESSION, namespace=namespace))["access"] == here
    assert "admin" in (await owner.get(SESSION, namespace=namespace))["access"]
    credentials = {"email": member.email, "password": PASSWORD}
    assert (await site.stranger().post(LOGIN, credentials))["access"] == everywhere


async def test_the_session_tells_nothing_of_a_namespace_of_others(site: Site) -> None:
    owner, other = await site.owner(), await site.owner()
    foreign, missing = await other.namespace(), f"missing.{owner.account_id}"
    answers = [await owner.get(SESSION, namespace=name) for name in (foreign, missing, "?", "")]
    assert answers == [await owner.get(SESSION)] * len(answers)


@pytest.mark.parametrize("address", ["http://cloud.test", "https://cloud.test"])
async def test_the_cookie_is_for_https_alone_where_a_proxy_speaks_it(
    tmp_path: Path, address: str
) -> None:
    with installation(tmp_path) as held:
        async with open_cloud(held, MemoryStore(), CloudSettings(address)) as cloud:
            person = {"email": "ada@example.com", "password": PASSWORD}
            answer = await Site(cloud).stranger().call("POST", SIGN_UP, person)
    is_secured = "Secure" in answer.headers["set-cookie"].split("; ")
    assert is_secured == address.startswith("https")


async def test_signing_up_again_with_the_same_password_is_a_log_in(site: Site) -> None:
    person = credentials(site)
    first = await site.stranger().post(SIGN_UP, person)
    again = await site.stranger().post(SIGN_UP, person)
    assert again["account_id"] == first["account_id"]
    other = {**person, "password": "another password"}
    assert (await site.stranger().call("POST", SIGN_UP, other)).status_code == 401


async def test_a_wrong_password_and_an_unknown_email_are_one_answer(site: Site) -> None:
    owner = await site.owner()
    wrong = {**owner.credentials, "password": "another password"}
    unknown = credentials(site)
    answers = [await site.stranger().call("POST", LOGIN, body) for body in (wrong, unknown)]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()


async def test_a_log_out_ends_the_session_and_no_other(site: Site) -> None:
    owner, elsewhere = await site.owner(), site.stranger()
    await elsewhere.post(LOGIN, owner.credentials)
    cookies = dict(owner.http.cookies)
    assert (await owner.call("POST", "/api/v1/logout")).status_code == 204
    owner.http.cookies.update(cookies)
    assert (await owner.call("GET", SESSION)).status_code == 401
    assert (await elsewhere.call("GET", SESSION)).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/logout", "/cloud/namespaces", "/api/v1/api-keys"])
async def test_a_write_needs_the_token_of_its_own_session(site: Site, path: str) -> None:
    ada, bob = await site.owner(), await site.owner()
    body = {"spec": {"name": "orders"}} if path.startswith("/cloud") else {"name": "ci"}
    for token in ("", "x", bob.http.headers["X-CSRF-Token"]):
        ada.http.headers["X-CSRF-Token"] = token
        assert (await ada.call("POST", path, body)).status_code == 403
    assert (await ada.call("GET", SESSION)).status_code == 200


@pytest.mark.parametrize("path", [SIGN_UP, LOGIN, "/api/v1/logout"])
@pytest.mark.parametrize(
    "header", [{"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_other_sites_pages_cannot_speak_for_a_visitor(
    site: Site, path: str, header: dict[str, str]
) -> None:
    owner = await site.owner()
    owner.http.headers.update(header)
    assert (await owner.call("POST", path, owner.credentials)).status_code == 403
    owner.http.headers.update({"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"})
    assert (await owner.call("POST", LOGIN, owner.credentials)).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": None}, "password"),
        ({"password": 7}, "password"),
        ({"password": "short"}, "password"),
        ({"email": "ada"}, "email"),
        ({"admin": True}, "admin"),
        ({"account_name": "x" * 65}, "account_name"),
    ],
)
async def test_a_bad_field_is_named_and_its_value_not_repeated(
    site: Site, body: dict[str, object], field: str
) -> None:
    answer = await site.stranger().call("POST", SIGN_UP, {**credentials(site), **body})
    assert answer.status_code == 400
    told = answer.json()
    assert told["code"] == 3
    assert told["message"].startswith(field)
    assert PASSWORD not in answer.text


@pytest.mark.parametrize(
    ("content", "media", "remedy"),
    [
        (b"{", "application/json", "JSON in UTF-8"),
        (b'{"email": "\xff"}', "application/json", "JSON in UTF-8"),
        (b"[" * 50_000, "application/json", "JSON in UTF-8"),
        (b'{"password": ' + b"1" * 5_000 + b"}", "application/json", "JSON in UTF-8"),
        (b"[]", "application/json", "one JSON object"),
        (b"null", "application/json", "one JSON object"),
        (b"", "application/json", "one JSON object"),
        (b"email=ada", "application/x-www-form-urlencoded", "content type application/json"),
        (b"{}", "", "content type application/json"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_in_the_doors_words(
    site: Site, content: bytes, media: str, remedy: str
) -> None:
    http = site.stranger().http
    answer = await http.post(SIGN_UP, content=content, headers={"Content-Type": media})
    assert answer.status_code == 400
    (detail,) = answer.json()["details"]
    (violation,) = detail["fieldViolations"]
    assert violation["field"] == "body"
    assert remedy in violation["description"]


async def test_what_is_too_large_is_refused_with_the_limit(site: Site) -> None:
    http = site.stranger().http
    json_type = {"Content-Type": "application/json"}
    large = await http.post(SIGN_UP, content=b" " * (64 * 1024 + 1), headers=json_type)
    assert large.status_code == 413
    assert "65536" in large.json()["message"]


async def test_unknown_paths_and_verbs_are_told_as_everywhere(site: Site) -> None:
    missing = await site.stranger().call("GET", "/api/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, 5)
    wrong = await site.stranger().call("GET", SIGN_UP)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


async def test_too_many_attempts_are_told_when_to_come_back(site: Site) -> None:
    owner = await site.owner()
    wrong = {**owner.credentials, "password": "another password"}
    statuses = [(await site.stranger().call("POST", LOGIN, wrong)) for _ in range(5)]
    assert statuses[-1].status_code == 429
    assert int(statuses[-1].headers["retry-after"]) > 0
