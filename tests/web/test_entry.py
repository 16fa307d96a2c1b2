"""Signing up, logging in and out, and what a visitor without a session gets."""

from __future__ import annotations

import pytest

from tenancy.passwords import PASSWORD_CHARACTERS_MAX as MAX
from tenancy.passwords import PASSWORD_CHARACTERS_MIN as MIN
from tests.web.conftest import Visitor
from tests.web.fake_cloud import COOKIE, EMAIL, NAMESPACE, PASSWORD


async def test_the_first_page_invites_a_stranger_to_sign_up(stranger: Visitor) -> None:
    assert "/sign-up" in (await stranger.page("/")).links()


async def test_what_a_role_does_not_allow_is_told_without_the_name_of_a_call(user: Visitor) -> None:
    user.cloud.denied = "GET /x is not permitted on 'k7m2qx'; ask an owner for finance access"
    page = await user.page("/billing", 403)
    told = "Your role does not allow this; ask an owner for finance access."
    assert page.one("p", role="alert").text == told


async def test_the_first_page_takes_a_user_to_the_namespaces(user: Visitor) -> None:
    response = await user.get("/")
    assert (response.status_code, response.headers["location"]) == (303, "/namespaces")


@pytest.mark.parametrize("path", ["/sign-up", "/login"])
async def test_the_session_cookie_of_the_api_reaches_the_browser(
    stranger: Visitor, path: str
) -> None:
    response = await stranger.post(path, email=EMAIL, password=PASSWORD)
    assert (response.status_code, response.headers["location"]) == (303, "/namespaces")
    assert response.headers["set-cookie"].startswith(COOKIE)
    assert "HttpOnly" in response.headers["set-cookie"]


@pytest.mark.parametrize("path", ["/sign-up", "/login"])
async def test_a_refused_entry_keeps_the_address_and_says_why(stranger: Visitor, path: str) -> None:
    response = await stranger.post(path, email=EMAIL, password="a guess that is wrong")
    assert response.status_code == 401
    assert "The e-mail or the password is wrong." in response.text
    assert f'value="{EMAIL}"' in response.text
    assert "a guess that is wrong" not in response.text
    assert "set-cookie" not in response.headers


async def test_a_page_without_a_session_leads_to_the_log_in_and_back(stranger: Visitor) -> None:
    response = await stranger.get(f"/namespaces/{NAMESPACE}/workflows?status=failed")
    assert response.status_code == 303
    form = await stranger.page(response.headers["location"])
    assert "You go on where you were." in form.text
    target = form.one("input", name="next").attributes["value"]
    assert target == f"/namespaces/{NAMESPACE}/workflows?status=failed"
    entered = await stranger.post("/login", email=EMAIL, password=PASSWORD, next=target)
    assert entered.headers["location"] == target


async def test_a_part_of_a_page_that_lost_its_session_moves_the_whole_page(
    stranger: Visitor,
) -> None:
    response = await stranger.get("/namespaces", **{"hx-request": "true"})
    assert response.status_code == 401
    assert response.headers["hx-redirect"].startswith("/login?")


@pytest.mark.parametrize(
    "target", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)", ""]
)
async def test_logging_in_never_leads_to_another_site(stranger: Visitor, target: str) -> None:
    response = await stranger.post("/login", email=EMAIL, password=PASSWORD, next=target)
    assert response.headers["location"] == "/namespaces"


@pytest.mark.parametrize(("name", "limit"), [("minlength", MIN), ("maxlength", MAX)])
async def test_the_form_asks_for_a_password_that_the_cloud_takes(
    stranger: Visitor, name: str, limit: int
) -> None:
    page = await stranger.page("/sign-up")
    assert page.one("input", name="password").attributes[name] == str(limit)
    assert f"{MIN} characters or more." in page.text


async def test_logging_out_is_a_write_that_ends_at_the_log_in(user: Visitor) -> None:
    response = await user.post("/logout")
    assert (response.status_code, response.headers["location"]) == (303, "/login")
    assert [path for _, path, _ in user.cloud.writes] == ["/api/v1/logout"]
