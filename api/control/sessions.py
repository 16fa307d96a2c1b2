"""Sign-up, log-in, log-out, and who is logged in."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.authentication import SESSION_COOKIE
from api.control.desk import check_origin, client_address, desk_of, visit_of
from tenancy import Account, NewSession, Principal, User
from tenancy.accounts import ACCOUNT_NAME_CHARACTERS_MAX
from tenancy.passwords import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN
from tenancy.sessions import SESSION_AGE_SECONDS_MAX
from tenancy.users import EMAIL_CHARACTERS_MAX

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
    """A logged-in user. Every write must carry `csrf_token` in the header X-CSRF-Token."""

    account_id: str
    account_name: str
    user_id: str
    email: str
    csrf_token: str


class OpenedSession(SessionAnswer):
    """A session that begins; its token is in the cookie and nowhere else."""

    expires_at: datetime


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
    return await _open(request, response, body, is_counted=False)


@router.post("/api/v1/login")
async def log_in(request: Request, response: Response, body: Credentials) -> OpenedSession:
    """Begin a session."""
    check_origin(request)
    return await _open(request, response, body)


@router.post("/api/v1/logout", status_code=204)
async def log_out(request: Request, response: Response) -> None:
    """End the session."""
    visit = await visit_of(request)
    control = desk_of(request).control
    async with control.acting(visit.principal) as session:
        await control.sessions.log_out(session, visit)
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="lax")


@router.get("/api/v1/session")
async def current_session(request: Request) -> SessionAnswer:
    """Who is logged in."""
    visit = await visit_of(request)
    user, account = await _records(request, visit.principal)
    return SessionAnswer(
        account_id=account.id,
        account_name=account.name,
        user_id=user.id,
        email=user.email,
        csrf_token=visit.csrf_token,
    )


async def _open(
    request: Request, response: Response, body: Credentials, *, is_counted: bool = True
) -> OpenedSession:
    opened: NewSession = await desk_of(request).control.sessions.log_in(
        email=body.email,
        password=body.password,
        address=client_address(request),
        is_counted=is_counted,
    )
    user, account = await _records(request, opened.principal)
    response.set_cookie(
        SESSION_COOKIE,
        opened.token,
        max_age=SESSION_AGE_SECONDS_MAX,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return OpenedSession(
        account_id=account.id,
        account_name=account.name,
        user_id=user.id,
        email=user.email,
        csrf_token=opened.csrf_token,
        expires_at=opened.expires_at,
    )


async def _records(request: Request, principal: Principal) -> tuple[User, Account]:
    async with desk_of(request).database.reading() as session:
        user = await session.get_one(User, principal.id)
        return user, await session.get_one(Account, principal.account_id)
