"""The console's pages of single sign-on: what they send, where they lead, what they never show."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

import httpx

from tests.control.visitor import ADDRESS, Site, Visitor
from tests.single_sign_on.identity_provider import CLIENT_SECRET, IdentityProvider
from tests.single_sign_on.site import API, connected
from tests.web.markup import Page

HTML = {"accept": "text/html"}
HOSTILE = "<script>alert(1)</script>"


async def read(visitor: Visitor, path: str) -> httpx.Response:
    return await visitor.http.get(path, headers=HTML)


async def post(visitor: Visitor, path: str, **form: str) -> httpx.Response:
    token = visitor.http.headers.get("X-CSRF-Token", "")
    return await visitor.http.post(path, headers=HTML, data={"csrf": token, **form})


async def through_provider(visitor: Visitor, onward: httpx.Response) -> httpx.Response:
    """The page that the browser sees when it comes back."""
    assert onward.status_code == 200, onward.text
    address = onward.headers["refresh"].removeprefix("0;url=")
    assert html.escape(address) in onward.text
    async with httpx.AsyncClient(trust_env=False, verify=False) as browser:
        location = urlsplit((await browser.get(address)).headers["location"])
    return await read(visitor, f"{location.path}?{location.query}")


async def test_every_form_of_the_settings_carries_the_token_of_the_session(
    site: Site, provider: IdentityProvider
) -> None:
    owner = await connected(site, provider, "pages-one.test")
    response = await read(owner, "/single-sign-on")
    page = Page(response.text)
    forms = page.all("form", method="post")
    assert len(forms) >= 5
    for form in forms:
        assert next(form.all("input", name="csrf")).attributes["value"]
    for element in page.all():
        assert "style" not in element.attributes
        if element.tag in ("input", "select") and element.attributes.get("type") != "hidden":
            assert element.within("label"), f"{element.attributes} has no label"
    assert CLIENT_SECRET not in response.text


async def test_a_visitor_goes_to_the_provider_and_comes_back_to_the_page_it_wanted(
    site: Site, provider: IdentityProvider
) -> None:
    await connected(site, provider, "pages-two.test")
    ada = site.stranger()
    onward = await post(ada, "/login/sso", email="ada@pages-two.test", next="/usage")
    landed = await through_provider(ada, onward)
    assert (landed.status_code, landed.headers["location"]) == (303, "/usage")
    assert "ada@pages-two.test" in (await read(ada, "/namespaces")).text


async def test_the_way_on_stays_in_the_console(site: Site, provider: IdentityProvider) -> None:
    await connected(site, provider, "pages-three.test")
    ada = site.stranger()
    onward = await post(ada, "/login/sso", email="ada@pages-three.test", next="https://evil.test/")
    landed = await through_provider(ada, onward)
    assert landed.headers["location"] == "/namespaces"


async def test_a_refused_answer_leads_back_to_the_log_in_page_with_its_reason(
    site: Site, provider: IdentityProvider
) -> None:
    await connected(site, provider, "pages-four.test")
    ada = site.stranger()
    onward = await post(ada, "/login/sso", email="ada@pages-four.test")
    provider.faults = {"claims": lambda it: {**it, "email_verified": False}}
    refused = await through_provider(ada, onward)
    assert refused.status_code == 403
    page = Page(refused.text)
    assert "does not say that the e-mail address is verified" in page.one("p", role="alert").text
    assert page.all("form", action="/login")
    assert (await read(ada, "/namespaces")).status_code == 303


async def test_a_made_up_answer_is_told_as_such(site: Site) -> None:
    for query in ("", "?state=x&code=y", f"?error={HOSTILE}&state=x"):
        refused = await read(site.stranger(), f"/login/sso/aaaaaa{query}")
        assert refused.status_code == 403
        assert HOSTILE not in refused.text


async def test_a_test_shows_hostile_claims_as_text(site: Site, provider: IdentityProvider) -> None:
    owner = await connected(site, provider, "pages-five.test")
    provider.user |= {"name": HOSTILE}
    shown = await through_provider(owner, await post(owner, "/single-sign-on/test"))
    assert "It works." in shown.text
    assert HOSTILE not in shown.text
    assert html.escape(HOSTILE) in shown.text
    assert not re.search(r"access_token|id_token", shown.text)


async def test_a_setting_that_is_refused_is_shown_with_what_was_typed(
    site: Site, provider: IdentityProvider
) -> None:
    owner = await connected(site, provider, "pages-six.test")
    refused = await post(
        owner,
        "/single-sign-on",
        issuer=f"{provider.issuer}/other",
        client_id="my client",
        client_secret="never shown again",
        default_role="developer",
        resource_version="1",
    )
    assert refused.status_code == 400
    assert "my client" in refused.text
    assert "never shown again" not in refused.text


async def test_a_member_reads_the_settings_and_is_refused_changes(
    site: Site, provider: IdentityProvider
) -> None:
    await connected(site, provider, "pages-seven.test")
    ada = site.stranger()
    onward = await post(ada, "/login/sso", email="ada@pages-seven.test")
    await through_provider(ada, onward)
    ada.http.headers["X-CSRF-Token"] = (await ada.get("/api/v1/session"))["csrf_token"]
    assert (await read(ada, "/single-sign-on")).status_code == 200
    for path in ("test", "remove", "domains/pages-seven.test/remove"):
        refused = await post(ada, f"/single-sign-on/{path}")
        assert refused.status_code == 403, path
        assert "Your role does not allow this" in refused.text


async def test_what_only_an_owner_may_do_is_not_offered_to_others(
    site: Site, provider: IdentityProvider
) -> None:
    domain = "pages-nine.test"
    owner = await connected(site, provider, domain)
    unproven = await owner.post(f"{API}/domains", {"name": f"new.{domain}"})
    ada = site.stranger()
    await through_provider(ada, await post(ada, "/login/sso", email=f"ada@{domain}"))
    ada.http.headers["X-CSRF-Token"] = (await ada.get("/api/v1/session"))["csrf_token"]
    offered = [
        [form.attributes["action"] for form in Page(page.text).one("main").all("form")]
        for page in [await read(visitor, "/single-sign-on") for visitor in (owner, ada)]
    ]
    assert len(offered[0]) == 7
    assert offered[1] == []
    told = (await read(ada, "/single-sign-on")).text
    # What she may ask the API for she may read here too.
    for text in (provider.issuer, domain, unproven["proof"], unproven["proof_address"]):
        assert text in told
    # Nor is it after she has been refused.
    refused = Page((await post(ada, "/single-sign-on/test")).text)
    assert "does not allow this" in refused.one("p", role="alert").text
    assert list(refused.one("main").all("form")) == []


async def test_what_proves_a_domain_is_there_to_be_copied_the_record_first(
    site: Site, provider: IdentityProvider
) -> None:
    domain = "pages-ten.test"
    owner = await connected(site, provider, "pages-proven.test")
    added = await owner.post(f"{API}/domains", {"name": domain})
    page = Page((await read(owner, "/single-sign-on")).text)
    copied = [
        (button.attributes["aria-label"], code.text)
        for each in page.all("copy-text")
        for button, code in zip(each.all("button"), each.all("code"), strict=True)
    ]
    # Nothing is left to do for the one that is proven.
    assert copied[1:] == [
        (f"Copy the name of the record of {domain}", f"_perdure.{domain}"),
        (f"Copy the value of the record of {domain}", added["proof"]),
        (
            f"Copy the address of the file of {domain}",
            f"https://{domain}/.well-known/perdure-domain.txt",
        ),
    ]


async def test_the_console_s_own_address_is_the_redirect_uri(
    site: Site, provider: IdentityProvider
) -> None:
    """Not what a request says of its host."""
    owner = await connected(site, provider, "pages-eight.test")
    owner.http.headers["host"] = "evil.test"
    shown = await read(owner, "/single-sign-on")
    assert f"{ADDRESS}/login/sso/{owner.account_id}" in shown.text
