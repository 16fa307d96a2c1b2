"""A log-in by single sign-on from its beginning to a session, and the test that ends before."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.accounts import locked_account
from tenancy.audit import AuditResult
from tenancy.dialects import hold
from tenancy.errors import InvalidField, NotFound, TenancyError
from tenancy.roles import Principal, system_principal
from tenancy.sessions import NewSession, Sessions, SignInMethod
from tenancy.single_sign_on.admission import admit, recognize
from tenancy.single_sign_on.attempts import BrowserSecret, Wanted, begin_attempt, take_attempt
from tenancy.single_sign_on.domains import account_of_domain, domain_of
from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused
from tenancy.single_sign_on.exchange import Answer, Assertion, Exchange
from tenancy.single_sign_on.known_providers import KnownProviders
from tenancy.single_sign_on.metadata import ProviderMetadata
from tenancy.single_sign_on.owner import require_owner
from tenancy.single_sign_on.settings import SignOnSettings, worked
from tenancy.single_sign_on.tables import AttemptKind, SignOnAttempt, SignOnProvider
from tenancy.single_sign_on.tools import Tools
from tenancy.users import normalized_email

SCOPE = "openid email profile"
ERROR_NAMES = frozenset(
    "access_denied account_selection_required consent_required interaction_required invalid_request"
    " invalid_scope login_required server_error temporarily_unavailable unauthorized_client"
    " unsupported_response_type".split()
)
"""What a provider may say by which a person can act; whatever else it says is not repeated."""


@dataclass(frozen=True, slots=True)
class BegunLogIn:
    """`cookie` is for the browser alone; `url` is where it goes next."""

    cookie: str = field(repr=False)
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ReturnedAnswer:
    """What the browser brought back: the cookie, and the query of the redirect URI."""

    account_id: str
    cookie: str | None = field(repr=False)
    state: str
    code: str = field(repr=False)
    issuer: str | None
    error: str
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class TestReport:
    """What a test found: the claims as JSON, and the reason why nobody would be let in, if any."""

    claims: str
    problem: TenancyError | None
    email: str = ""
    is_new_user: bool = False


@dataclass(frozen=True, slots=True)
class FinishedLogIn:
    """Either a session or a report."""

    opened: NewSession | None
    report: TestReport | None
    next_page: str


class SignOnLogIns:
    def __init__(
        self,
        tools: Tools,
        *,
        settings: SignOnSettings,
        providers: KnownProviders,
        exchange: Exchange,
        sessions: Sessions,
    ) -> None:
        self._tools = tools
        self._settings = settings
        self._providers = providers
        self._exchange = exchange
        self._sessions = sessions

    async def begin(self, *, email: str, address: str, next_page: str = "") -> BegunLogIn:
        """Raises InvalidField, RateLimited and SignOnRefused."""
        email = normalized_email(email)
        database = self._tools.database
        async with database.transaction() as session:
            await self._tools.limits.admit(session, email=email, address=address)
        async with database.reading() as session:
            account_id = await account_of_domain(session, domain_of(email))
            provider = await _provider(session, account_id) if account_id else None
        if provider is None:
            raise InvalidField(
                "email", "has a domain without single sign-on", "log in by password instead"
            )
        wanted = Wanted(AttemptKind.LOG_IN, next_page=next_page)
        return await self._begin(provider, wanted, login_hint=email)

    async def begin_test(self, actor: Principal) -> BegunLogIn:
        """Raises PermissionDenied, NotFound and SignOnRefused."""
        require_owner(actor, "single_sign_on.test", actor.account_id)
        async with self._tools.database.reading() as session:
            provider = await _provider(session, actor.account_id)
        if provider is None:
            raise NotFound("single sign-on", actor.account_id)
        await self._tools.count_question(actor.account_id)
        # Whoever tests has changed something, here or there.
        self._providers.forget(provider.issuer)
        return await self._begin(provider, Wanted(AttemptKind.TEST, actor.id))

    async def finish(self, answer: ReturnedAnswer) -> FinishedLogIn:
        """Raises SignOnRefused; a test that fails is a report that says so."""
        tools = self._tools
        secret = None if answer.cookie is None else BrowserSecret(answer.cookie)
        async with tools.database.transaction() as session:
            attempt = await take_attempt(session, secret, answer.state, tools)
            provider = await _provider(session, attempt.account_id)
        assert secret is not None, "an attempt is found by it"
        assertion: Assertion | None = None
        try:
            if answer.account_id != attempt.account_id:
                raise SignOnRefused(SignOnProblem.WRONG_ACCOUNT)
            if provider is None or provider.resource_version != attempt.provider_version:
                raise SignOnRefused(SignOnProblem.SETTINGS_CHANGED)
            assertion = await self._assertion(provider, secret, answer)
            if attempt.kind is AttemptKind.TEST:
                report = await self._report(provider, attempt, assertion)
                return FinishedLogIn(None, report, attempt.next_page)
            opened = await self._open(provider, assertion, answer.user_agent)
            return FinishedLogIn(opened, None, attempt.next_page)
        except SignOnRefused as refusal:
            await self._record_refusal(attempt, refusal)
            if attempt.kind is not AttemptKind.TEST:
                raise
            claims = {} if assertion is None else assertion.claims
            return FinishedLogIn(None, TestReport(_shown(claims), refusal), attempt.next_page)

    async def _begin(
        self, provider: SignOnProvider, wanted: Wanted, *, login_hint: str = ""
    ) -> BegunLogIn:
        metadata = await self._providers.metadata(provider.issuer)
        async with self._tools.database.transaction() as session:
            secret, expires_at = await begin_attempt(session, provider, wanted, self._tools)
        url = prepare_grant_uri(
            metadata.authorization_endpoint,
            provider.client_id,
            "code",
            self._settings.redirect_uri(provider.account_id),
            SCOPE,
            secret.state,
            nonce=secret.nonce,
            code_challenge=secret.challenge,
            code_challenge_method="S256",
            login_hint=login_hint or None,
        )
        return BegunLogIn(secret.text, url, expires_at)

    async def _assertion(
        self, provider: SignOnProvider, secret: BrowserSecret, answer: ReturnedAnswer
    ) -> Assertion:
        metadata = await self._providers.metadata(provider.issuer)
        _check_sender(metadata, answer.issuer)
        if answer.error:
            shown = answer.error if answer.error in ERROR_NAMES else ""
            raise SignOnRefused(SignOnProblem.PROVIDER_ERROR, shown)
        if not answer.code:
            raise SignOnRefused(SignOnProblem.CODE_MISSING)
        returned = Answer(answer.code, secret.verifier, secret.nonce)
        client = self._settings.client(provider)
        at = self._tools.now()
        return await self._exchange.assertion(metadata, client, returned, at=at)

    async def _open(
        self, provider: SignOnProvider, assertion: Assertion, user_agent: str
    ) -> NewSession:
        tools = self._tools
        async with tools.database.transaction() as session:
            # The same lock as a sign-up takes, which would make a user of this address too.
            await hold(session, f"e-mail {(assertion.email or '').strip().lower()}")
            await locked_account(session, provider.account_id)
            current = await _provider(session, provider.account_id)
            if current is None or current.resource_version != provider.resource_version:
                raise SignOnRefused(SignOnProblem.SETTINGS_CHANGED)
            user = await admit(session, current, assertion, tools)
            await worked(session, current, tools)
            method = SignInMethod.SINGLE_SIGN_ON
            return await self._sessions.open_for(
                session, user, method=method, user_agent=user_agent
            )

    async def _report(
        self, provider: SignOnProvider, attempt: SignOnAttempt, assertion: Assertion
    ) -> TestReport:
        async with self._tools.database.transaction() as session:
            await locked_account(session, provider.account_id)
            guest = await recognize(session, provider, assertion)
            await worked(session, provider, self._tools)
            actor = _actor(attempt)
            await self._tools.audit.record(
                session, actor, "single_sign_on.test", attempt.user_id or ""
            )
        return TestReport(_shown(assertion.claims), None, guest.email, guest.user is None)

    async def _record_refusal(self, attempt: SignOnAttempt, refusal: SignOnRefused) -> None:
        """Nobody is known yet, so it is the cloud that tells the account's owners."""
        action = "user.log_in_by_single_sign_on"
        if attempt.kind is AttemptKind.TEST:
            action = "single_sign_on.test"
        async with self._tools.database.transaction() as session:
            await self._tools.audit.record(
                session,
                _actor(attempt),
                action,
                refusal.problem.name.lower(),
                result=AuditResult.DENIED,
            )


def _check_sender(metadata: ProviderMetadata, issuer: str | None) -> None:
    """RFC 9207: an answer says whose it is, if the provider says that it always does."""
    if issuer is None and metadata.names_itself:
        raise SignOnRefused(SignOnProblem.ANSWER_ISSUER_MISSING)
    is_its_own = issuer is None or hmac.compare_digest(
        issuer.encode(errors="replace"), metadata.issuer.encode()
    )
    if not is_its_own:
        raise SignOnRefused(SignOnProblem.ANSWER_ISSUER_WRONG)


async def _provider(session: AsyncSession, account_id: str) -> SignOnProvider | None:
    return await session.get(SignOnProvider, account_id, populate_existing=True)


def _actor(attempt: SignOnAttempt) -> Principal:
    return system_principal(attempt.account_id, "single-sign-on")


def _shown(claims: dict[str, Any]) -> str:
    return json.dumps(claims, indent=2, sort_keys=True)
