"""Single sign-on: its settings and domains, for owners; and the way in, for everybody."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.control.desk import (
    caller_of,
    check_origin,
    client_address,
    desk_of,
    is_secured,
    visit_of,
)
from api.control.sessions import OpenedSession, keep_session
from tenancy import Principal, TenancyError, User
from tenancy.roles import AccountRole
from tenancy.single_sign_on import ProviderDraft, SignOnRefused
from tenancy.single_sign_on.attempts import ATTEMPT_SECONDS_MAX
from tenancy.single_sign_on.domain_proof import proof_address, proof_record
from tenancy.single_sign_on.log_ins import BegunLogIn, ReturnedAnswer, TestReport
from tenancy.single_sign_on.settings import CLIENT_SECRET_CHARACTERS_MAX
from tenancy.single_sign_on.tables import (
    CLIENT_ID_CHARACTERS_MAX,
    ISSUER_CHARACTERS_MAX,
    NEXT_PAGE_CHARACTERS_MAX,
    SignOnDomain,
    SignOnProvider,
)

SIGN_ON_COOKIE = "perdure_sign_on"
ANSWER_CHARACTERS_MAX = 8_000

router = APIRouter(tags=["Single sign-on"])


class SignOnSettings(BaseModel):
    """The account's identity provider, by OpenID Connect."""

    model_config = ConfigDict(extra="forbid")
    issuer: str = Field(
        description=f"As the provider gives it, at most {ISSUER_CHARACTERS_MAX} characters; its"
        " configuration is read from `/.well-known/openid-configuration` below."
    )
    client_id: str = Field(description=f"1 to {CLIENT_ID_CHARACTERS_MAX} characters.")
    client_secret: str | None = Field(
        None,
        description=f"1 to {CLIENT_SECRET_CHARACTERS_MAX} characters. Left out, it stays as it is;"
        " with another issuer or client id it must be given anew.",
    )
    default_role: AccountRole = Field(
        AccountRole.READ, description="Of users who come for the first time; not owner."
    )
    is_enforced: bool = Field(
        False,
        description="Whether users of the proven domains may not log in by password any more.",
    )
    break_glass_user_id: str | None = Field(
        None, description="The owner who still may; the caller if left out."
    )
    resource_version: int = Field(
        0, ge=0, lt=2**31, description="Of the settings that are replaced; 0 if there are none."
    )


class ShownProvider(BaseModel):
    """`worked_at` is when a log-in or a test by these very settings last went well."""

    issuer: str
    client_id: str
    default_role: AccountRole
    is_enforced: bool
    break_glass_user_id: str | None
    break_glass_email: str
    resource_version: int
    worked_at: datetime | None


class ShownRecord(BaseModel):
    """A record of a DNS zone, as it is to be added there."""

    name: str = Field(description="The full name; some consoles of DNS add the domain themselves.")
    type: Literal["TXT"]
    value: str


class ShownDomain(BaseModel):
    """The domain is proven by `proof_record` in its DNS zone, or by a file at `proof_address` that
    says `proof` and nothing else."""

    name: str
    proof: str
    proof_record: ShownRecord
    proof_address: str
    proven_at: datetime | None


class ShownSingleSignOn(BaseModel):
    """`redirect_uri` is what the provider must be told."""

    redirect_uri: str
    provider: ShownProvider | None
    domains: list[ShownDomain]


class NewDomain(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=1_000, description="What stands behind the @, as example.com.")


class BeginSignOn(BaseModel):
    """Whose log-in begins, and which page of the console it goes on to."""

    model_config = ConfigDict(extra="forbid")
    email: str = Field(max_length=1_000)
    next_page: str = Field("", max_length=NEXT_PAGE_CHARACTERS_MAX)


class BegunSignOn(BaseModel):
    """Send the browser to `authorization_url`; the cookie of this answer ties the log-in to it."""

    authorization_url: str
    expires_at: datetime


class FinishSignOn(BaseModel):
    """The query that the redirect URI was called with, and the account in its path."""

    model_config = ConfigDict(extra="forbid")
    account_id: str = Field(max_length=100)
    state: str = Field("", max_length=ANSWER_CHARACTERS_MAX)
    code: str = Field("", max_length=ANSWER_CHARACTERS_MAX)
    iss: str | None = Field(None, max_length=ANSWER_CHARACTERS_MAX)
    error: str = Field("", max_length=ANSWER_CHARACTERS_MAX)


class ShownTest(BaseModel):
    """What the provider said, as JSON text, and who would have come in or why nobody would."""

    claims: str
    email: str
    is_new_user: bool
    problem: str
    reason: str = Field(description="The problem's name for programs; empty if all is well.")


class FinishedSignOn(BaseModel):
    """A session, whose token is in the cookie; or the report of a test, which logs nobody in."""

    session: OpenedSession | None
    next_page: str
    test: ShownTest | None


@router.get("/api/v1/single-sign-on")
async def get_single_sign_on(
    request: Request, caller: Annotated[Principal, Depends(caller_of)]
) -> ShownSingleSignOn:
    """The account's provider, without its secret, and its domains."""
    desk = desk_of(request)
    sign_on = desk.control.single_sign_on
    async with desk.database.reading() as session:
        provider = await sign_on.settings.find(session, caller)
        domains = await sign_on.domains.visible_to(session, caller)
        shown = None if provider is None else await _provider(session, provider)
    return ShownSingleSignOn(
        redirect_uri=sign_on.settings.redirect_uri(caller.account_id),
        provider=shown,
        domains=[_domain(each) for each in domains],
    )


@router.put("/api/v1/single-sign-on")
async def put_single_sign_on(
    request: Request, body: SignOnSettings, caller: Annotated[Principal, Depends(caller_of)]
) -> ShownProvider:
    """Choose or change the provider, whose configuration is read at once. For owners who are logged
    in; keys are refused."""
    control = desk_of(request).control
    draft = ProviderDraft(**body.model_dump())
    async with control.acting(caller) as session:
        put = await control.single_sign_on.settings.put(session, caller, draft)
        return await _provider(session, put)


@router.delete("/api/v1/single-sign-on", status_code=204)
async def delete_single_sign_on(
    request: Request, caller: Annotated[Principal, Depends(caller_of)]
) -> None:
    """Remove the provider; everybody logs in by password again."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        await control.single_sign_on.settings.remove(session, caller)


@router.post("/api/v1/single-sign-on/domains", status_code=201)
async def add_sign_on_domain(
    request: Request, body: NewDomain, caller: Annotated[Principal, Depends(caller_of)]
) -> ShownDomain:
    """Name a domain of the account's e-mail addresses; then prove it."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        return _domain(await control.single_sign_on.domains.add(session, caller, body.name))


@router.post("/api/v1/single-sign-on/domains/{name}/proof")
async def prove_sign_on_domain(
    request: Request, name: str, caller: Annotated[Principal, Depends(caller_of)]
) -> ShownDomain:
    """Look for the proof now: the domain's `proof_record` first, then its `proof_address`."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        return _domain(await control.single_sign_on.domains.prove(session, caller, name))


@router.delete("/api/v1/single-sign-on/domains/{name}", status_code=204)
async def remove_sign_on_domain(
    request: Request, name: str, caller: Annotated[Principal, Depends(caller_of)]
) -> None:
    """Give a domain up; users with addresses of it log in by password again."""
    control = desk_of(request).control
    async with control.acting(caller) as session:
        await control.single_sign_on.domains.remove(session, caller, name)


@router.post("/api/v1/single-sign-on/test")
async def test_single_sign_on(request: Request, response: Response) -> BegunSignOn:
    """Begin a log-in that ends in a report instead of a session."""
    visit = await visit_of(request)
    control = desk_of(request).control
    async with control.acting(visit.principal):
        begun = await control.single_sign_on.log_ins.begin_test(visit.principal)
    return _begun(request, response, begun)


@router.post("/api/v1/single-sign-on/begin")
async def begin_single_sign_on(
    request: Request, response: Response, body: BeginSignOn
) -> BegunSignOn:
    """Begin a log-in at the provider of the account that has proven the address's domain."""
    check_origin(request)
    begun = await desk_of(request).control.single_sign_on.log_ins.begin(
        email=body.email, address=client_address(request), next_page=body.next_page
    )
    return _begun(request, response, begun)


@router.post("/api/v1/single-sign-on/finish")
async def finish_single_sign_on(
    request: Request, response: Response, body: FinishSignOn
) -> FinishedSignOn:
    """Turn what the provider sent back into a session, in the browser where it began, once."""
    check_origin(request)
    answer = ReturnedAnswer(
        account_id=body.account_id,
        cookie=request.cookies.get(SIGN_ON_COOKIE),
        state=body.state,
        code=body.code,
        issuer=body.iss,
        error=body.error,
        user_agent=request.headers.get("user-agent", ""),
    )
    finished = await desk_of(request).control.single_sign_on.log_ins.finish(answer)
    response.delete_cookie(SIGN_ON_COOKIE, path="/", httponly=True, samesite="lax")
    opened: OpenedSession | None = None
    if finished.opened is not None:
        opened = await keep_session(request, response, finished.opened)
    report = finished.report
    return FinishedSignOn(
        session=opened,
        next_page=finished.next_page,
        test=None if report is None else _test(report),
    )


def _begun(request: Request, response: Response, begun: BegunLogIn) -> BegunSignOn:
    response.set_cookie(
        SIGN_ON_COOKIE,
        begun.cookie,
        max_age=ATTEMPT_SECONDS_MAX,
        path="/",
        secure=is_secured(request),
        httponly=True,
        # The provider's page sends the browser back by a link, which Strict would strip it of.
        samesite="lax",
    )
    return BegunSignOn(authorization_url=begun.url, expires_at=begun.expires_at)


async def _provider(session: AsyncSession, it: SignOnProvider) -> ShownProvider:
    owner = None
    if it.break_glass_user_id is not None:
        owner = await session.get(User, it.break_glass_user_id)
    return ShownProvider(
        issuer=it.issuer,
        client_id=it.client_id,
        default_role=it.default_role,
        is_enforced=it.is_enforced,
        break_glass_user_id=it.break_glass_user_id,
        break_glass_email="" if owner is None else owner.email,
        resource_version=it.resource_version,
        worked_at=it.worked_at,
    )


def _domain(it: SignOnDomain) -> ShownDomain:
    return ShownDomain(
        name=it.name,
        proof=it.proof,
        proof_record=ShownRecord(name=proof_record(it.name), type="TXT", value=it.proof),
        proof_address=proof_address(it.name),
        proven_at=it.proven_at,
    )


def _test(report: TestReport) -> ShownTest:
    problem: TenancyError | None = report.problem
    return ShownTest(
        claims=report.claims,
        email=report.email,
        is_new_user=report.is_new_user,
        problem="" if problem is None else str(problem),
        reason=problem.problem.name if isinstance(problem, SignOnRefused) else "",
    )
