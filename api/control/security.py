"""What a user does about its own login: password, address, second factor, sessions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import segno
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.control.desk import caller_of, check_origin, client_address, desk_of, visit_of
from api.control.sessions import CODE_CHARACTERS_MAX, TOKEN_CHARACTERS_MAX
from tenancy import Account, InvalidField, Principal, User
from tenancy.second_factor import has_second_factor

QR_SCALE = 5

router = APIRouter(tags=["Security"])


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskedReset(Body):
    email: str


class NewPassword(Body):
    """`token` is that of the link in the letter."""

    token: str = Field(max_length=TOKEN_CHARACTERS_MAX)
    new_password: str


class ChangedPassword(Body):
    current_password: str
    new_password: str


class Proof(Body):
    """`token` is that of the link in the letter."""

    token: str = Field(max_length=TOKEN_CHARACTERS_MAX)


class Code(Body):
    """Of the authenticator app; a recovery code where that is not being set up."""

    code: str = Field(max_length=CODE_CHARACTERS_MAX)


class Policy(Body):
    is_second_factor_required: bool


class ShownSession(BaseModel):
    id: str
    method: str
    user_agent: str
    created_at: datetime
    last_seen_at: datetime
    is_this_one: bool


class Security(BaseModel):
    """How the logged-in user logs in."""

    email: str
    is_email_verified: bool
    has_password: bool
    has_second_factor: bool
    recovery_codes_left: int
    is_second_factor_required: bool
    sessions: list[ShownSession]


class Enrolment(BaseModel):
    """For the authenticator app: `uri` as a picture, or `seed` by hand."""

    seed: str
    uri: str


class RecoveryCodes(BaseModel):
    """Each opens one log-in in place of a code of the app. They are shown once."""

    recovery_codes: list[str]


@router.get("/api/v1/security")
async def get_security(request: Request) -> Security:
    """How you log in, and where you are logged in."""
    visit = await visit_of(request, is_enrolling=True)
    control, user_id = desk_of(request).control, visit.principal.id
    async with desk_of(request).database.reading() as session:
        user = await session.get_one(User, user_id)
        account = await session.get_one(Account, user.account_id)
        return Security(
            email=user.email,
            is_email_verified=user.email_verified_at is not None,
            has_password=bool(user.password_hash),
            has_second_factor=await has_second_factor(session, user_id),
            recovery_codes_left=await control.second_factors.codes_left(session, user_id),
            is_second_factor_required=account.requires_second_factor,
            sessions=[
                ShownSession(
                    id=each.id,
                    method=each.method,
                    user_agent=each.user_agent,
                    created_at=each.created_at,
                    last_seen_at=each.last_seen_at,
                    is_this_one=each.id == visit.session_id,
                )
                for each in await control.sessions.of_user(session, user_id)
            ],
        )


@router.delete("/api/v1/sessions/{session_id}", status_code=204)
async def end_session(request: Request, session_id: str) -> None:
    """End one of your sessions."""
    visit = await visit_of(request)
    control = desk_of(request).control
    async with control.acting(visit.principal) as session:
        await control.sessions.revoke(session, visit.principal, session_id)


@router.delete("/api/v1/sessions", status_code=204)
async def end_other_sessions(request: Request) -> None:
    """End all of your sessions but this one."""
    visit = await visit_of(request)
    control, caller = desk_of(request).control, visit.principal
    async with control.acting(caller) as session:
        await control.sessions.revoke_all(session, caller, caller.id, but=visit.session_id)


@router.post("/api/v1/password", status_code=204)
async def change_password(request: Request, body: ChangedPassword) -> None:
    """Change your password; your other sessions end."""
    visit = await visit_of(request)
    await desk_of(request).control.password_changes.change(
        visit,
        current=body.current_password,
        new=body.new_password,
        address=client_address(request),
    )


@router.post("/api/v1/password-resets", status_code=202, response_class=Response)
async def ask_password_reset(request: Request, body: AskedReset) -> Response:
    """Send a letter with a link to the address; the answer is the same for any address."""
    check_origin(request)
    changes = desk_of(request).control.password_changes
    await changes.ask(email=body.email, address=client_address(request))
    return Response(status_code=202)


@router.post("/api/v1/password-resets/complete", status_code=204)
async def complete_password_reset(request: Request, body: NewPassword) -> None:
    """Set a password by the link of a letter; all sessions end."""
    check_origin(request)
    changes = desk_of(request).control.password_changes
    await changes.complete(token=body.token, new=body.new_password)


@router.post("/api/v1/email-proofs", status_code=202, response_class=Response)
async def ask_email_proof(request: Request) -> Response:
    """Send the letter that proves your address once more."""
    visit = await visit_of(request)
    control, caller = desk_of(request).control, visit.principal
    async with control.acting(caller) as session:
        await control.email_proofs.ask_again(session, caller, client_address(request))
    return Response(status_code=202)


@router.post("/api/v1/email-proofs/complete", status_code=204)
async def complete_email_proof(request: Request, body: Proof) -> None:
    """Prove an address by the link of a letter."""
    check_origin(request)
    desk = desk_of(request)
    async with desk.database.transaction() as session:
        await desk.control.email_proofs.complete(session, body.token)


@router.post("/api/v1/second-factor", status_code=201)
async def begin_second_factor(request: Request) -> Enrolment:
    """Begin to set up an authenticator app; it is not asked for before it is confirmed."""
    visit = await visit_of(request, is_enrolling=True)
    control = desk_of(request).control
    async with control.acting(visit.principal) as session:
        made = await control.second_factors.begin(session, visit.principal)
    return Enrolment(seed=made.seed, uri=made.uri)


@router.get("/api/v1/second-factor")
async def get_pending_second_factor(request: Request) -> Enrolment:
    """The seed that is being set up; once confirmed it is never shown again."""
    found = await _pending(request)
    return found


@router.get(
    "/api/v1/second-factor/qr.svg",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}}},
)
async def get_second_factor_picture(request: Request) -> Response:
    """The same as a QR code."""
    picture = io.BytesIO()
    code = segno.make((await _pending(request)).uri, error="m")
    # Dark on white in every theme: cameras need that, and a quiet zone around it.
    code.save(picture, kind="svg", scale=QR_SCALE, dark="#000", light="#fff", xmldecl=False)
    return Response(picture.getvalue(), media_type="image/svg+xml")


@router.post("/api/v1/second-factor/confirm")
async def confirm_second_factor(request: Request, body: Code) -> RecoveryCodes:
    """Give a first code; from now on log-ins ask for one."""
    visit = await visit_of(request, is_enrolling=True)
    control = desk_of(request).control
    async with control.acting(visit.principal) as session:
        codes = await control.second_factors.confirm(session, visit.principal, body.code)
    return _shown(codes)


@router.post("/api/v1/second-factor/recovery-codes")
async def renew_recovery_codes(request: Request, body: Code) -> RecoveryCodes:
    """New recovery codes; the old ones open nothing any more."""
    visit = await visit_of(request)
    control = desk_of(request).control
    async with control.acting(visit.principal) as session:
        codes = await control.second_factors.renew_codes(session, visit.principal, body.code)
    return _shown(codes)


@router.post("/api/v1/second-factor/remove", status_code=204)
async def remove_second_factor(request: Request, body: Code) -> None:
    """Log in by password alone again, if the account allows that."""
    visit = await visit_of(request)
    control = desk_of(request).control
    async with control.acting(visit.principal) as session:
        is_right = await control.second_factors.remove(session, visit.principal, body.code)
    if not is_right:
        raise _wrong_code()


@router.delete("/api/v1/members/{user_id}/second-factor", status_code=204)
async def remove_second_factor_of(
    request: Request, user_id: str, caller: Annotated[Principal, Depends(caller_of)]
) -> None:
    """For a member who lost it; by an owner. The member logs in by password and sets up another."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        await control.second_factors.remove_of(session, caller, user_id)


@router.put("/api/v1/security-policy")
async def set_security_policy(request: Request, body: Policy) -> Policy:
    """Whether everybody who logs in by password needs a second factor; by an owner."""
    visit = await visit_of(request)
    control = desk_of(request).control
    async with control.acting(visit.principal) as session:
        account = await control.second_factors.set_required(
            session, visit.principal, body.is_second_factor_required
        )
    return Policy(is_second_factor_required=account.requires_second_factor)


async def _pending(request: Request) -> Enrolment:
    visit = await visit_of(request, is_enrolling=True)
    async with desk_of(request).database.reading() as session:
        caller: Principal = visit.principal
        found = await desk_of(request).control.second_factors.pending(session, caller)
    return Enrolment(seed=found.seed, uri=found.uri)


def _shown(codes: Sequence[str] | None) -> RecoveryCodes:
    if codes is None:
        raise _wrong_code()
    return RecoveryCodes(recovery_codes=list(codes))


def _wrong_code() -> InvalidField:
    return InvalidField("code", "is wrong, or was used already", "wait for the next one")
