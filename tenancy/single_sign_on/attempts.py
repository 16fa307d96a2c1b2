"""Log-ins under way: what ties an answer to the browser that asked, once."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.database import forget
from tenancy.randomness import new_secret
from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused
from tenancy.single_sign_on.tables import (
    NEXT_PAGE_CHARACTERS_MAX,
    AttemptKind,
    SignOnAttempt,
    SignOnProvider,
)
from tenancy.single_sign_on.tools import Tools

ATTEMPT_SECONDS_MAX = 10 * 60


@dataclass(frozen=True, slots=True)
class BrowserSecret:
    """What the cookie of a log-in holds; state, nonce and PKCE verifier follow from it.

    So the table tells none of them, and an answer can only be used where its log-in began.
    """

    text: str = field(repr=False)

    @property
    def id(self) -> str:
        return hashlib.sha256(self.text.encode(errors="replace")).hexdigest()

    @property
    def state(self) -> str:
        return self._derived(b"state")

    @property
    def nonce(self) -> str:
        return self._derived(b"nonce")

    @property
    def verifier(self) -> str:
        return self._derived(b"verifier")

    @property
    def challenge(self) -> str:
        return str(create_s256_code_challenge(self.verifier))

    def _derived(self, purpose: bytes) -> str:
        derived = hmac.digest(self.text.encode(errors="replace"), purpose, "sha256")
        return base64.urlsafe_b64encode(derived).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody begins: a log-in, or a test by an owner who is logged in."""

    kind: AttemptKind
    user_id: str | None = None
    next_page: str = ""


async def begin_attempt(
    session: AsyncSession, provider: SignOnProvider, wanted: Wanted, tools: Tools
) -> tuple[BrowserSecret, datetime]:
    """What goes into the cookie, and until when it is of use."""
    now = tools.now()
    await forget(session, SignOnAttempt.id, SignOnAttempt.expires_at <= now)
    secret = BrowserSecret(new_secret(tools.token_bytes))
    expires_at = now + timedelta(seconds=ATTEMPT_SECONDS_MAX)
    session.add(
        SignOnAttempt(
            id=secret.id,
            account_id=provider.account_id,
            kind=wanted.kind,
            user_id=wanted.user_id,
            provider_version=provider.resource_version,
            next_page=wanted.next_page[:NEXT_PAGE_CHARACTERS_MAX],
            expires_at=expires_at,
        )
    )
    return secret, expires_at


async def take_attempt(
    session: AsyncSession, secret: BrowserSecret | None, state: str, tools: Tools
) -> SignOnAttempt:
    """The log-in that an answer belongs to; nobody gets it again. Raises SignOnRefused.

    An answer that belongs elsewhere does not end the log-in of the browser that it was put upon.
    """
    if secret is None:
        raise SignOnRefused(SignOnProblem.NOT_BEGUN)
    if not state:
        raise SignOnRefused(SignOnProblem.STATE_MISSING)
    if not hmac.compare_digest(state.encode(errors="replace"), secret.state.encode()):
        raise SignOnRefused(SignOnProblem.STATE_WRONG)
    taken = await session.scalars(
        sa.delete(SignOnAttempt)
        .where(SignOnAttempt.id == secret.id, SignOnAttempt.expires_at > tools.now())
        .returning(SignOnAttempt)
    )
    attempt = taken.first()
    if attempt is None:
        raise SignOnRefused(SignOnProblem.ATTEMPT_OVER)
    return attempt
