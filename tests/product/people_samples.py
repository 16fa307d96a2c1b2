"""What the operations of members and log-ins take to succeed.

What only a letter or an app knows is put into the database of the server beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp

from tests.control.visitor import PASSWORD, member_spec
from tests.product.sample import Make, Sample, of
from tests.product.stock import Stock

FACTOR = "/api/v1/second-factor"
READ = "ROLE_READ"
LOCK_SECONDS_MAX = 30.0

_numbers = itertools.count(1)


async def change(stock: Stock, statement: str, *values: Any) -> None:
    assert stock.data is not None
    path = stock.data / "control.db"

    def run() -> None:
        with closing(sqlite3.connect(path, timeout=LOCK_SECONDS_MAX)) as connection, connection:
            connection.execute(statement, values)

    await asyncio.to_thread(run)


def in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def new_token() -> str:
    return f"token-{uuid.uuid4()}"


async def prove(stock: Stock, at: str | None) -> None:
    user_id = stock.known["user_id"]
    await change(stock, "UPDATE user_login SET email_verified_at = ? WHERE id = ?", at, user_id)


async def invited(stock: Stock) -> str:
    """The id of somebody new who is invited."""
    await prove(stock, in_days(0))
    email = f"colleague-{next(_numbers)}@example.com"
    made = await stock.access.owner.post("/cloud/users", {"spec": member_spec(email, READ)})
    return str(made["userId"])


async def invitation(stock: Stock) -> Sample:
    return Sample({"user_id": await invited(stock)})


async def invitation_link(stock: Stock) -> Sample:
    user_id, token = await invited(stock), new_token()
    await change(stock, "UPDATE invitation SET digest = ? WHERE id = ?", digest(token), user_id)
    return Sample(body={"token": token})


async def acceptance(stock: Stock) -> Sample:
    sample = await invitation_link(stock)
    return Sample(body={**sample.body, "password": PASSWORD})


async def changed_user(stock: Stock) -> Sample:
    body = {"spec": member_spec("", "ROLE_ADMIN"), "resourceVersion": "1"}
    return Sample({"user_id": await invited(stock)}, body)


async def granted_access(stock: Stock) -> Sample:
    body = {"access": {"permission": "PERMISSION_READ"}, "resourceVersion": "1"}
    return Sample({"user_id": await invited(stock)}, body)


async def new_user(stock: Stock) -> Sample:
    await prove(stock, in_days(0))
    return Sample(body={"spec": member_spec(f"colleague-{next(_numbers)}@example.com", READ)})


async def link(stock: Stock, purpose: str, user_id: str) -> str:
    token = new_token()
    await change(
        stock,
        "INSERT INTO one_time_link (digest, purpose, user_id, email, tries, expires_at)"
        " SELECT ?, ?, id, email, 0, ? FROM user_login WHERE id = ?",
        digest(token),
        purpose,
        in_days(1),
        user_id,
    )
    return token


async def member(stock: Stock) -> str:
    """The id of another user of the account."""
    user_id = str(uuid.uuid4())
    await change(
        stock,
        "INSERT INTO user_login (id, account_id, email, password_hash, role, created_at)"
        " VALUES (?, ?, ?, '', 'read', ?)",
        user_id,
        stock.access.owner.account_id,
        f"member-{next(_numbers)}@example.com",
        in_days(0),
    )
    return user_id


async def reset_link(stock: Stock) -> Sample:
    token = await link(stock, "reset_password", await member(stock))
    return Sample(body={"token": token, "new_password": PASSWORD})


async def proof_link(stock: Stock) -> Sample:
    return Sample(body={"token": await link(stock, "verify_email", await member(stock))})


async def unproven(stock: Stock) -> Sample:
    await prove(stock, None)
    return Sample(as_owner=True)


async def asked_reset(stock: Stock) -> Sample:
    return Sample(body={"email": stock.access.owner.email})


async def other_session(stock: Stock) -> Sample:
    session_id = str(uuid.uuid4())
    await change(
        stock,
        "INSERT INTO login_session"
        " (id, token_digest, user_id, created_at, last_seen_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        session_id,
        digest(session_id),
        stock.known["user_id"],
        *(in_days(days) for days in (0, 0, 1)),
    )
    return Sample({"session_id": session_id}, as_owner=True)


async def no_factor(stock: Stock) -> Sample:
    user_id = stock.known["user_id"]
    await change(stock, "DELETE FROM second_factor WHERE user_id = ?", user_id)
    return Sample(as_owner=True)


async def pending_factor(stock: Stock) -> Sample:
    await no_factor(stock)
    seed = (await stock.access.owner.post(FACTOR))["seed"]
    return Sample(body={"code": pyotp.TOTP(seed).now()}, as_owner=True)


async def shown_factor(stock: Stock) -> Sample:
    await pending_factor(stock)
    return Sample(as_owner=True)


async def confirmed_factor(stock: Stock) -> Sample:
    """With one of its recovery codes."""
    sample = await pending_factor(stock)
    told = await stock.access.owner.post(f"{FACTOR}/confirm", sample.body)
    return Sample(body={"code": told["recovery_codes"][0]}, as_owner=True)


async def second_step(stock: Stock) -> Sample:
    code = (await confirmed_factor(stock)).body["code"]
    token = await link(stock, "second_step", stock.known["user_id"])
    return Sample(body={"second_step": token, "code": code})


async def members_factor(stock: Stock) -> Sample:
    user_id = await member(stock)
    await change(
        stock,
        "INSERT INTO second_factor (user_id, sealed_seed, last_step, created_at)"
        " VALUES (?, ?, 0, ?)",
        user_id,
        b"sealed",
        in_days(0),
    )
    return Sample({"user_id": user_id})


PUBLIC_LINKS = ("finish_log_in", "look_up_invitation", "accept_invitation", "complete_")
"""What these begin with is open to whoever has the secret that they are sent."""

_SAME_PASSWORD = {"current_password": PASSWORD, "new_password": PASSWORD}

PEOPLE_SAMPLES: Mapping[str, Make] = {
    "CloudService_CreateUser": new_user,
    "CloudService_UpdateUser": changed_user,
    "CloudService_DeleteUser": invitation,
    "CloudService_SetUserNamespaceAccess": granted_access,
    "finish_log_in_api_v1_login_second_step_post": second_step,
    "get_security_api_v1_security_get": of(Sample(as_owner=True)),
    "end_session_api_v1_sessions__session_id__delete": other_session,
    "end_other_sessions_api_v1_sessions_delete": of(Sample(as_owner=True)),
    "change_password_api_v1_password_post": of(Sample(body=_SAME_PASSWORD, as_owner=True)),
    "ask_password_reset_api_v1_password_resets_post": asked_reset,
    "complete_password_reset_api_v1_password_resets_complete_post": reset_link,
    "ask_email_proof_api_v1_email_proofs_post": unproven,
    "complete_email_proof_api_v1_email_proofs_complete_post": proof_link,
    "begin_second_factor_api_v1_second_factor_post": no_factor,
    "get_pending_second_factor_api_v1_second_factor_get": shown_factor,
    "get_second_factor_picture_api_v1_second_factor_qr_svg_get": shown_factor,
    "confirm_second_factor_api_v1_second_factor_confirm_post": pending_factor,
    "renew_recovery_codes_api_v1_second_factor_recovery_codes_post": confirmed_factor,
    "remove_second_factor_api_v1_second_factor_remove_post": confirmed_factor,
    "remove_second_factor_of_api_v1_members__user_id__second_factor_delete": members_factor,
    "set_security_policy_api_v1_security_policy_put": of(
        Sample(body={"is_second_factor_required": False}, as_owner=True)
    ),
    "look_up_invitation_api_v1_invitations_look_up_post": invitation_link,
    "accept_invitation_api_v1_invitations_accept_post": acceptance,
    "send_invitation_again_api_v1_invitations__user_id__send_post": invitation,
}
