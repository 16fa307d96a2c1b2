"""Members and logins through the network: letters, links, codes, roles."""

from __future__ import annotations

from typing import Any

import pyotp
import pytest

from tests.control.visitor import PASSWORD, Json, Site, Visitor, member_spec

NEW_PASSWORD = "another horse battery"
FACTOR = "/api/v1/second-factor"
READ = "ROLE_READ"


async def refused(visitor: Visitor, verb: str, path: str, body: Any = None) -> tuple[int, str]:
    answer = await visitor.call(verb, path, body)
    assert not answer.is_success
    return answer.status_code, str(answer.json()["message"])


async def users(visitor: Visitor) -> dict[str, Json]:
    told = await visitor.get("/cloud/users")
    return {user["spec"]["email"]: user for user in told["users"]}


async def log_in(site: Site, email: str, password: str = PASSWORD) -> Visitor:
    visitor = site.stranger()
    visitor.email = email
    told = await visitor.post("/api/v1/login", {"email": email, "password": password})
    visitor.http.headers["X-CSRF-Token"] = told.get("csrf_token", "")
    return visitor


async def test_an_address_is_proven_by_its_letter_once(site: Site) -> None:
    owner = await site.owner()
    assert not (await owner.get("/api/v1/session"))["is_email_verified"]
    token = await site.mailbox.token(owner.email, "Confirm")
    complete = "/api/v1/email-proofs/complete"
    assert (await site.stranger().call("POST", complete, {"token": token})).status_code == 204
    assert (await owner.get("/api/v1/session"))["is_email_verified"]
    status, told = await refused(site.stranger(), "POST", complete, {"token": token})
    assert (status, "ask for a new one" in told) == (400, True)


async def test_who_has_not_proven_an_address_invites_nobody(site: Site) -> None:
    owner = await site.owner()
    spec = {"spec": member_spec(site.new_email(), READ)}
    status, told = await refused(owner, "POST", "/cloud/users", spec)
    assert (status, "confirm your e-mail address first" in told) == (403, True)


async def test_an_invitation_is_accepted_with_a_password_and_opens_what_was_granted(
    site: Site,
) -> None:
    owner = await site.verified_owner()
    namespace = await owner.namespace()
    email = site.new_email()
    spec = member_spec(email, "ROLE_DEVELOPER", **{namespace: "PERMISSION_WRITE"})
    made = await owner.post("/cloud/users", {"spec": spec, "asyncOperationId": "op-1"})
    again = await owner.post("/cloud/users", {"spec": spec, "asyncOperationId": "op-1"})
    assert again == made
    assert made["asyncOperation"]["operationType"] == "CreateUser"
    assert "expiredTime" in (await users(owner))[email]["invitation"]
    token = await site.mailbox.token(email, "You are invited")
    stranger = site.stranger()
    shown = await stranger.post("/api/v1/invitations/look-up", {"token": token})
    assert (shown["email"], shown["role"]) == (email, "developer")
    told = await stranger.post("/api/v1/invitations/accept", {"token": token, "password": PASSWORD})
    assert (told["user_id"], told["account_id"]) == (made["userId"], owner.account_id)
    member = (await users(owner))[email]
    assert "invitation" not in member
    assert member["spec"]["access"]["namespaceAccesses"][namespace] == {
        "permission": "PERMISSION_WRITE"
    }
    assert (await stranger.get(f"/api/v1/namespaces/{namespace}/workflows")) is not None
    status, _ = await refused(
        site.stranger(),
        "POST",
        "/api/v1/invitations/accept",
        {"token": token, "password": PASSWORD},
    )
    assert status == 400
    await log_in(site, email)


async def test_a_letter_that_is_sent_again_replaces_the_link_and_a_revoked_one_is_dead(
    site: Site,
) -> None:
    owner = await site.verified_owner()
    email = site.new_email()
    made = await owner.post("/cloud/users", {"spec": member_spec(email, READ)})
    first = await site.mailbox.token(email, "You are invited")
    site.mailbox.letters.clear()
    await owner.post(f"/api/v1/invitations/{made['userId']}/send")
    second = await site.mailbox.token(email, "You are invited")
    look_up = "/api/v1/invitations/look-up"
    assert (await refused(site.stranger(), "POST", look_up, {"token": first}))[0] == 400
    await site.stranger().post(look_up, {"token": second})
    answer = await owner.call("DELETE", f"/cloud/users/{made['userId']}")
    assert answer.is_success
    assert (await refused(site.stranger(), "POST", look_up, {"token": second}))[0] == 400
    assert email not in await users(owner)


async def test_an_address_with_a_login_elsewhere_is_told_so_and_the_inviter_is_not(
    site: Site,
) -> None:
    owner, other = await site.verified_owner(), await site.owner()
    made = await owner.post("/cloud/users", {"spec": member_spec(other.email, READ)})
    assert made["asyncOperation"]["state"] == "STATE_FULFILLED"
    text = await site.mailbox.letter(other.email, "You are invited")
    assert "already" in text
    assert "token" not in text
    invited = (await users(owner))[other.email]
    assert "expiredTime" in invited["invitation"]


async def test_an_admin_invites_and_changes_but_makes_no_owner(site: Site) -> None:
    owner = await site.verified_owner()
    admin = await site.member(owner, "ROLE_ADMIN")
    reader = await site.member(admin, READ)
    found = (await users(owner))[reader.email]
    path = f"/cloud/users/{found['id']}"
    change = {
        "spec": member_spec("", "ROLE_FINANCE_ADMIN"),
        "resourceVersion": found["resourceVersion"],
    }
    await admin.post(path, change)
    assert (await reader.get("/api/v1/session"))["role"] == "finance_admin"
    assert (await refused(admin, "POST", path, change))[0] == 409
    change = {
        "spec": member_spec("", "ROLE_OWNER"),
        "resourceVersion": (await users(owner))[reader.email]["resourceVersion"],
    }
    assert (await refused(admin, "POST", path, change))[0] == 403
    assert (await refused(reader, "POST", path, change))[0] == 403
    spec = {"spec": member_spec(site.new_email(), "ROLE_OWNER")}
    assert (await refused(admin, "POST", "/cloud/users", spec))[0] == 403


async def test_the_last_owner_can_neither_go_nor_be_demoted(site: Site) -> None:
    owner = await site.owner()
    found = (await users(owner))[owner.email]
    status, told = await refused(owner, "DELETE", f"/cloud/users/{found['id']}")
    assert (status, "last owner" in told) == (400, True)
    body = {"spec": member_spec("", READ), "resourceVersion": found["resourceVersion"]}
    assert (await refused(owner, "POST", f"/cloud/users/{found['id']}", body))[0] == 400


async def test_whoever_is_removed_is_out_with_session_and_keys(site: Site) -> None:
    owner = await site.verified_owner()
    namespace = await owner.namespace()
    member = await site.member(owner, "ROLE_ADMIN")
    program = site.program(await member.key(namespaces={namespace: "write"}))
    lists = f"/api/v1/namespaces/{namespace}/workflows"
    await program.get(lists)
    found = (await users(owner))[member.email]
    assert (await owner.call("DELETE", f"/cloud/users/{found['id']}")).is_success
    assert (await member.call("GET", "/api/v1/session")).status_code == 401
    await until_refused(program, lists)
    assert (await refused(owner, "GET", f"/cloud/users/{found['id']}"))[0] == 404
    body = {"email": member.email, "password": PASSWORD}
    assert (await refused(site.stranger(), "POST", "/api/v1/login", body))[0] == 401


async def until_refused(program: Visitor, path: str) -> None:
    """A key that was just used is looked up anew within a second."""
    while (await program.call("GET", path)).status_code != 401:
        pass


async def test_a_namespace_admin_grants_in_that_namespace_only(site: Site) -> None:
    owner = await site.verified_owner()
    orders, billing = await owner.namespace("orders"), await owner.namespace("billing")
    admin = await site.member(owner, "ROLE_DEVELOPER", **{orders: "PERMISSION_ADMIN"})
    reader = await site.member(owner, READ)
    found = (await users(admin))[reader.email]
    body = {
        "access": {"permission": "PERMISSION_READ"},
        "resourceVersion": found["resourceVersion"],
    }
    path = f"users/{found['id']}/access"
    await admin.post(f"/cloud/namespaces/{orders}/{path}", body)
    assert (await refused(admin, "POST", f"/cloud/namespaces/{billing}/{path}", body))[0] == 403
    assert (await refused(reader, "POST", f"/cloud/namespaces/{orders}/{path}", body))[0] == 403
    await reader.get(f"/api/v1/namespaces/{orders}/workflows")


async def test_members_of_another_account_do_not_exist(site: Site) -> None:
    owner, stranger = await site.verified_owner(), await site.verified_owner()
    invited = await owner.post("/cloud/users", {"spec": member_spec(site.new_email(), READ)})
    id = invited["userId"]
    body = {"spec": member_spec("", READ), "resourceVersion": "1"}
    for verb, path, sent in (
        ("GET", f"/cloud/users/{id}", None),
        ("POST", f"/cloud/users/{id}", body),
        ("DELETE", f"/cloud/users/{id}", None),
        ("POST", f"/api/v1/invitations/{id}/send", None),
        ("DELETE", f"/api/v1/members/{id}/second-factor", None),
    ):
        assert (await refused(stranger, verb, path, sent))[0] == 404


async def test_a_forgotten_password_is_replaced_by_the_link_and_all_sessions_end(
    site: Site,
) -> None:
    owner = await site.owner()
    asked = [
        await site.stranger().call("POST", "/api/v1/password-resets", {"email": email})
        for email in (owner.email, site.new_email())
    ]
    assert [(each.status_code, each.content) for each in asked] == [(202, b"")] * 2
    token = await site.mailbox.token(owner.email, "Choose a new password")
    complete = "/api/v1/password-resets/complete"
    body = {"token": token, "new_password": "short"}
    assert (await refused(site.stranger(), "POST", complete, body))[0] == 400
    body["new_password"] = NEW_PASSWORD
    assert (await site.stranger().call("POST", complete, body)).status_code == 204
    assert (await refused(site.stranger(), "POST", complete, body))[0] == 400
    assert (await owner.call("GET", "/api/v1/session")).status_code == 401
    entered = await log_in(site, owner.email, NEW_PASSWORD)
    assert (await entered.get("/api/v1/session"))["is_email_verified"]
    await site.mailbox.letter(owner.email, "Your password was changed")


async def test_letters_to_one_address_are_limited(site: Site) -> None:
    email = site.new_email()
    statuses = [
        (await site.stranger().call("POST", "/api/v1/password-resets", {"email": email}))
        for _ in range(4)
    ]
    assert [each.status_code for each in statuses] == [202, 202, 202, 429]


async def test_a_password_is_changed_by_who_knows_it_and_other_sessions_end(site: Site) -> None:
    owner = await site.owner()
    elsewhere = await log_in(site, owner.email)
    body = {"current_password": "not this password", "new_password": NEW_PASSWORD}
    status, told = await refused(owner, "POST", "/api/v1/password", body)
    assert (status, told.startswith("current_password")) == (400, True)
    body["current_password"] = PASSWORD
    assert (await owner.call("POST", "/api/v1/password", body)).status_code == 204
    assert (await owner.call("GET", "/api/v1/session")).status_code == 200
    assert (await elsewhere.call("GET", "/api/v1/session")).status_code == 401


async def test_sessions_are_listed_and_ended_by_their_user_alone(site: Site) -> None:
    owner, bob = await site.owner(), await site.owner()
    elsewhere = await log_in(site, owner.email)
    shown = (await owner.get("/api/v1/security"))["sessions"]
    assert sorted(each["is_this_one"] for each in shown) == [False, True]
    (other,) = (each["id"] for each in shown if not each["is_this_one"])
    assert (await refused(bob, "DELETE", f"/api/v1/sessions/{other}"))[0] == 404
    assert (await owner.call("DELETE", f"/api/v1/sessions/{other}")).status_code == 204
    assert (await elsewhere.call("GET", "/api/v1/session")).status_code == 401


async def enrol(visitor: Visitor) -> tuple[pyotp.TOTP, list[str]]:
    seed = (await visitor.post(FACTOR))["seed"]
    totp = pyotp.TOTP(seed)
    codes = (await visitor.post(f"{FACTOR}/confirm", {"code": totp.now()}))["recovery_codes"]
    return totp, codes


async def test_a_log_in_asks_for_a_code_once_there_is_a_second_factor(site: Site) -> None:
    owner = await site.owner()
    picture = await owner.call("GET", f"{FACTOR}/qr.svg")
    assert picture.status_code == 404
    seed = (await owner.post(FACTOR))["seed"]
    picture = await owner.call("GET", f"{FACTOR}/qr.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.content.startswith(b"<svg")
    assert (await refused(owner, "POST", f"{FACTOR}/confirm", {"code": "000000"}))[0] == 400
    code = pyotp.TOTP(seed).now()
    codes = (await owner.post(f"{FACTOR}/confirm", {"code": code}))["recovery_codes"]
    assert (await owner.call("GET", FACTOR)).status_code == 404
    visitor = site.stranger()
    answer = await visitor.call("POST", "/api/v1/login", owner.credentials)
    assert answer.status_code == 202
    assert "set-cookie" not in answer.headers
    step = {"second_step": answer.json()["second_step"]}
    # The code that confirmed it is used up.
    for wrong in (code, "123", ""):
        body = {**step, "code": wrong}
        assert (await refused(visitor, "POST", "/api/v1/login/second-step", body))[0] == 401
    await visitor.post("/api/v1/login/second-step", {**step, "code": codes[0].upper()})
    assert (await visitor.get("/api/v1/security"))["recovery_codes_left"] == len(codes) - 1
    body = {**step, "code": codes[1]}
    assert (await refused(visitor, "POST", "/api/v1/login/second-step", body))[0] == 401
    status, told = await refused(site.stranger(), "POST", "/api/v1/sign-up", owner.credentials)
    assert (status, "second factor" in told) == (401, True)


async def test_an_owner_can_ask_everybody_for_a_second_factor(site: Site) -> None:
    owner = await site.verified_owner()
    member = await site.member(owner, "ROLE_ADMIN")
    policy, asked = "/api/v1/security-policy", {"is_second_factor_required": True}
    assert (await refused(owner, "PUT", policy, asked))[0] == 400
    await enrol(owner)
    assert (await refused(member, "PUT", policy, asked))[0] == 403
    assert (await owner.call("PUT", policy, asked)).is_success
    assert (await member.get("/api/v1/session"))["must_enrol"]
    for path in ("/cloud/users", "/cloud/namespaces", "/api/v1/usage/cost"):
        assert (await member.call("GET", path)).status_code == 401
    _, codes = await enrol(member)
    await member.get("/cloud/users")
    status, told = await refused(member, "POST", f"{FACTOR}/remove", {"code": codes[0]})
    assert (status, "required by the account" in told) == (400, True)
    id = (await member.get("/api/v1/session"))["user_id"]
    assert (await owner.call("DELETE", f"/api/v1/members/{id}/second-factor")).status_code == 204
    assert (await member.get("/api/v1/session"))["must_enrol"]
    await site.mailbox.letter(member.email, "The second step")


@pytest.mark.parametrize("role", ["", "ROLE_UNSPECIFIED"])
async def test_an_invitation_without_a_role_is_refused_by_name(site: Site, role: str) -> None:
    owner = await site.verified_owner()
    status, told = await refused(
        owner, "POST", "/cloud/users", {"spec": member_spec(site.new_email(), role)}
    )
    assert (status, "role" in told) == (400, True)
