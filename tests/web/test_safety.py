"""What holds for every page: headers, forms, escaping, and that it can be used by anyone."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.types import Scope

from tests.web.conftest import ORIGIN, Visitor
from tests.web.fake_budgets import budget
from tests.web.fake_cloud import ACCOUNT, COOKIE, EMAIL, NAMESPACE, PASSWORD
from tests.web.fake_people import INVITED, MEMBER
from tests.web.histories import RUN_ID, event, execution, json_payload, payloads, pending_activity
from tests.web.markup import Page
from tests.web.test_billing import ID as INVOICE
from tests.web.test_billing import invoice
from web import console, is_page
from web.app import ROUTES
from web.errors import FORM_BYTES_MAX
from web.rendering import STATIC

HOME = f"/namespaces/{NAMESPACE}"
PUBLIC = (
    "/",
    "/sign-up",
    "/login",
    "/forgotten",
    "/reset?token=x",
    "/verify?token=x",
    "/join?token=x",
    f"/login/sso/{ACCOUNT}?code=x&state=x",
    "/nothing-here",
)
TELLS_OF_AN_ERROR = PUBLIC[-2:]
PRIVATE = (
    "/namespaces",
    HOME,
    f"{HOME}/keys",
    f"{HOME}/certificates",
    f"{HOME}/workflows",
    f"{HOME}/workflows/order-1042/{RUN_ID}",
    f"{HOME}/workflows/order-1041/{RUN_ID}?history=full",
    "/usage",
    "/usage?day=2026-11-20",
    "/budgets",
    "/budgets/b-1",
    "/billing",
    f"/billing/invoices/{INVOICE}",
    "/members",
    f"/members/{MEMBER}",
    f"/members/{INVITED}",
    "/security",
    "/security/authenticator",
    "/single-sign-on",
)
LABELLED = ("input", "select", "textarea")
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_every_page_is_among_them() -> None:
    looked_at = [path.partition("?")[0] for path in (*PUBLIC, *PRIVATE)]
    missing = [
        route.path
        for route in ROUTES
        if "GET" in (route.methods or ())
        and not any(route.path_regex.fullmatch(path) for path in looked_at)
    ]
    assert not missing, "add the page to PUBLIC or PRIVATE"


async def read(path: str, user: Visitor, stranger: Visitor) -> tuple[Page, str, dict[str, str]]:
    user.cloud.pending[:] = [pending_activity()]
    user.cloud.budgets[:] = [budget()]
    user.cloud.invoices[:] = [invoice("paid", lines=[])]
    visitor = stranger if path in PUBLIC else user
    response = await visitor.get(path)
    assert response.is_success == (path not in TELLS_OF_AN_ERROR), response.text
    return Page(response.text), response.text, dict(response.headers)


@pytest.mark.parametrize("path", [*PUBLIC, *PRIVATE])
async def test_a_page_runs_and_loads_nothing_but_its_own_files(
    path: str, user: Visitor, stranger: Visitor
) -> None:
    page, source, headers = await read(path, user, stranger)
    policy = headers["content-security-policy"]
    for rule in ("default-src 'self'", "frame-ancestors 'none'", "form-action 'self'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    for script in page.all("script"):
        assert script.attributes["src"].startswith("/static/")
        assert not script.children
    assert not page.all("style")
    for element in page.all():
        assert not [name for name in element.attributes if name.startswith("on")]
        assert "style" not in element.attributes
    assert not re.search(r"(src|href|action)=\"https?:", source)


@pytest.mark.parametrize("path", [*PUBLIC, *PRIVATE])
async def test_a_page_can_be_read_and_used_without_seeing_it(
    path: str, user: Visitor, stranger: Visitor
) -> None:
    page, _, _ = await read(path, user, stranger)
    assert page.one("html").attributes["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert next(page.one("head").all("title")).text
    ids = [each.attributes["id"] for each in page.all() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for element in page.all():
        named = element.attributes.get("aria-labelledby") or element.attributes.get("aria-controls")
        assert named is None or named in ids
        if element.tag in LABELLED and element.attributes.get("type") != "hidden":
            assert element.within("label"), f"{element.attributes} has no label"
        if element.tag in ("a", "button", "summary"):
            assert element.text or element.attributes.get("aria-label"), "a control has no name"


@pytest.mark.parametrize("path", PRIVATE)
async def test_every_form_that_writes_carries_the_token_of_the_session(
    path: str, user: Visitor, stranger: Visitor
) -> None:
    page, _, _ = await read(path, user, stranger)
    forms = page.all("form", method="post")
    assert forms
    for form in forms:
        assert next(form.all("input", name="csrf")).attributes["value"]


async def test_a_form_with_another_token_is_refused_by_the_api(user: Visitor) -> None:
    response = await user.post("/namespaces", csrf="stolen", name="orders", retention_days="7")
    assert response.status_code == 403
    assert not user.cloud.writes


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
)
async def test_a_form_from_another_site_is_refused_before_the_api_sees_it(
    stranger: Visitor, headers: dict[str, str]
) -> None:
    form = {"email": EMAIL, "password": PASSWORD}
    response = await stranger.client.post("/login", data=form, headers=headers)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(("over", "status"), [(-1, 401), (0, 401), (1, 413)])
async def test_a_form_has_a_largest_size(stranger: Visitor, over: int, status: int) -> None:
    start = "password=x&email="
    body = start + "e" * (FORM_BYTES_MAX - len(start) + over)
    response = await stranger.client.post("/login", content=body)
    assert response.status_code == status


async def test_what_tenants_write_is_text_wherever_it_is_shown(user: Visitor) -> None:
    info = execution("hostile")
    info.type.name = HOSTILE
    info.execution.workflow_id = HOSTILE
    user.cloud.executions[:] = [info]
    user.cloud.polled_queues[:] = [HOSTILE]
    user.cloud.history = [
        event(1, "WORKFLOW_EXECUTION_STARTED", 0, input=payloads(json_payload(HOSTILE))),
        event(2, "WORKFLOW_EXECUTION_SIGNALED", 0, signal_name=HOSTILE, identity=HOSTILE),
    ]
    listed = await user.get(f"{HOME}/workflows?query={HOSTILE}")
    link = next(each for each in Page(listed.text).links() if RUN_ID in each)
    for response in (listed, await user.get(HOME), await user.get(link)):
        assert response.status_code == 200
        page = Page(response.text)
        assert not page.all("img")
        assert all("src" in script.attributes for script in page.all("script"))


async def test_a_failure_of_the_api_is_a_page_and_not_a_trace(user: Visitor) -> None:
    user.cloud.cost = {"total": "not a number"}
    app = console(user.cloud.app())
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        response = await client.get("/usage", headers={"cookie": COOKIE})
    assert response.status_code == 500
    assert "Something broke on our side." in Page(response.text).text
    assert "ConversionSyntax" not in response.text
    assert "content-security-policy" in response.headers


async def test_a_file_that_is_asked_for_by_its_digest_is_kept_for_good(
    stranger: Visitor,
) -> None:
    page = await stranger.page("/login")
    sources = [each.attributes["src"] for each in page.all("script")]
    sources += [each.attributes["href"] for each in page.all("link")]
    for source in sources:
        response = await stranger.get(source)
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    plain = await stranger.get("/static/timeline.js")
    assert plain.headers["cache-control"] != "no-store" or plain.headers["etag"]


async def test_a_theme_is_set_before_the_page_is_drawn(stranger: Visitor) -> None:
    for cookie, theme in (("dark", "dark"), ("light", "light"), ('"><b>', None)):
        response = await stranger.get("/login", cookie=f"theme={cookie}")
        assert Page(response.text).one("html").attributes.get("data-theme") == theme


def test_everything_vendored_comes_with_its_licence() -> None:
    for script in (STATIC / "vendor").glob("*.js"):
        licence = script.with_name(script.name.partition(".")[0] + ".LICENSE")
        assert "Permission to use" in licence.read_text()


@pytest.mark.parametrize(
    ("path", "accept", "is_ours"),
    [
        ("/", "text/html,application/xhtml+xml", True),
        ("/namespaces/a.b/workflows", "text/html", True),
        ("/namespaces/a.b/workflows", "application/json", False),
        ("/namespaces/a.b/workflows", "*/*", False),
        ("/static/console.css", "text/css", True),
        ("/api/v1/session", "text/html", False),
        ("/cloud/namespaces", "text/html", False),
        ("/docs", "text/html", False),
        ("/healthz", "text/html", False),
        ("/no-such-page", "text/html", True),
    ],
)
def test_who_accepts_html_gets_the_page(path: str, accept: str, is_ours: bool) -> None:
    scope: Scope = {"type": "http", "path": path, "headers": [(b"accept", accept.encode())]}
    assert is_page(scope) is is_ours
    assert not is_page({**scope, "type": "lifespan"})
