"""Sign-up, log-in in one step or two, log-out, and who is logged in."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.authentication import SESSION_COOKIE
from api.control.desk import (
    check_origin,
    client_address,
    desk_of,
    is_secured,
    user_agent,
    visit_of,
)
from tenancy import (
    Access,
    Account,
    NewSession,
    NotFound,
    SecondStep,
    Unauthenticated,
    UnauthenticatedReason,
    User,
    Visit,
    accesses_of,
)
from tenancy.accounts import ACCOUNT_NAME_CHARACTERS_MAX
from tenancy.passwords import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN
from tenancy.sessions import SESSION_AGE_SECONDS_MAX
from tenancy.users import EMAIL_CHARACTERS_MAX

TOKEN_CHARACTERS_MAX = 100
CODE_CHARACTERS_MAX = 40

router = APIRouter(tags=["Sessions"])


class Credentials(BaseModel):
    """An e-mail address and its password."""

    model_config = ConfigDict(extra="forbid")
    email: str = Field(description=f"At most {EMAIL_CHARACTERS_MAX} characters.")
    password: str = Field(
        description=f"{PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters."
    )


class SignUp(Credentials):
    """A new account and its owner."""

    account_name: str = Field(
        "", description=f"For people to read; at most {ACCOUNT_NAME_CHARACTERS_MAX} characters."
    )


class SessionAnswer(BaseModel):
    """A logged-in user. Every write must carry `csrf_token` in the header X-CSRF-Token.

    `access` is what `role` opens in the account, and in the namespace that was asked about what the
    user may do there; in one that there is not, nothing.

    `must_enrol` is true where the account asks for a second factor that the user has not set up:
    until then every other call is refused.
    """

    account_id: str
    account_name: str
    user_id: str
    email: str
    is_email_verified: bool
    role: str
    access: list[Access]
    must_enrol: bool
    csrf_token: str


class OpenedSession(SessionAnswer):
    """A session that begins; its token is in the cookie and nowhere else."""

    expires_at: datetime


class AskedForCode(BaseModel):
    """The password was right; a code of the second factor opens the session."""

    second_step: str = Field(description="To be sent back with the code.")
    expires_at: datetime


class SecondStepBody(BaseModel):
    """A code of the authenticator app, or a recovery code."""

    model_config = ConfigDict(extra="forbid")
    second_step: str = Field(max_length=TOKEN_CHARACTERS_MAX)
    code: str = Field(max_length=CODE_CHARACTERS_MAX)


@router.post("/api/v1/sign-up", status_code=201)
async def sign_up(request: Request, response: Response, body: SignUp) -> OpenedSession:
    """Make an account and log its owner in. A known e-mail with its password is a log-in."""
    check_origin(request)
    await desk_of(request).control.users.sign_up(
        email=body.email,
        password=body.password,
        address=client_address(request),
        account_name=body.account_name,
    )
    opened = await _log_in(request, body, is_counted=False)
    if isinstance(opened, SecondStep):
        raise Unauthenticated(UnauthenticatedReason.SECOND_STEP)
    return await keep_session(request, response, opened)


@router.post("/api/v1/login", responses={202: {"model": AskedForCode}})
async def log_in(
    request: Request, response: Response, body: Credentials
) -> OpenedSession | AskedForCode:
    """Begin a session; 202 where the user has a second factor."""
    check_origin(request)
    opened = await _log_in(request, body)
    if isinstance(opened, SecondStep):
        response.status_code = 202
        return AskedForCode(second_step=opened.token, expires_at=opened.expires_at)
    return await keep_session(request, response, opened)


@router.post("/api/v1/login/second-step")
async def finish_log_in(
    request: Request, response: Response, body: SecondStepBody
) -> OpenedSession:
    """Begin the session of a user with a second factor."""
    check_origin(request)
    opened = await desk_of(request).control.sign_in.finish(
        token=body.second_step, code=body.code, user_agent=user_agent(request)
    )
    return await keep_session(request, response, opened)


@router.post("/api/v1/logout", status_code=204)
async def log_out(request: Request, response: Response) -> None:
    """End the session."""
    visit = await visit_of(request, is_enrolling=True)
    control = desk_of(request).control
    async with control.acting(visit.principal) as session:
        await control.sessions.log_out(session, visit)
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="lax")


@router.get("/api/v1/session")
async def current_session(request: Request, namespace: str = "") -> SessionAnswer:
    """Who is logged in, and what that user may do: in `namespace` too, as `<name>.<account id>`."""
    return await _told(request, await visit_of(request, is_enrolling=True), namespace)


async def keep_session(request: Request, response: Response, opened: NewSession) -> OpenedSession:
    """Gives the browser the cookie of a session that has just begun."""
    response.set_cookie(
        SESSION_COOKIE,
        opened.token,
        max_age=SESSION_AGE_SECONDS_MAX,
        path="/",
        secure=is_secured(request),
        httponly=True,
        samesite="lax",
    )
    control = desk_of(request).control
    visit = await control.sessions.resume(opened.token, is_enrolling=True)
    told = await _told(request, visit)
    return OpenedSession(**told.model_dump(), expires_at=opened.expires_at)


async def _log_in(
    request: Request, body: Credentials, *, is_counted: bool = True
) -> NewSession | SecondStep:
    return await desk_of(request).control.sign_in.log_in(
        email=body.email,
        password=body.password,
        address=client_address(request),
        user_agent=user_agent(request),
        is_counted=is_counted,
    )


async def _told(request: Request, visit: Visit, namespace: str = "") -> SessionAnswer:
    desk, principal, place = desk_of(request), visit.principal, None
    async with desk.database.reading() as session:
        user = await session.get_one(User, principal.id)
        account = await session.get_one(Account, principal.account_id)
        if namespace:
            with suppress(NotFound):
                place = (await desk.control.namespaces.find(session, principal, namespace)).ref
    return SessionAnswer(
        account_id=account.id,
        account_name=account.name,
        user_id=user.id,
        email=user.email,
        is_email_verified=user.email_verified_at is not None,
        role=user.role,
        access=sorted(accesses_of(principal, place)),
        must_enrol=visit.must_enrol,
        csrf_token=visit.csrf_token,
    )
