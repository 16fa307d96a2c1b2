"""Who somebody that a provider vouches for is among the users of an account."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.errors import InvalidField
from tenancy.randomness import new_uuid
from tenancy.single_sign_on.domains import domain_of, proven_domains
from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused
from tenancy.single_sign_on.exchange import Assertion
from tenancy.single_sign_on.tables import SignOnIdentity, SignOnProvider
from tenancy.single_sign_on.tools import Tools
from tenancy.users import User, normalized_email


@dataclass(frozen=True, slots=True)
class Guest:
    """Who may come in: as this user, or as a new one. `is_known` if it came this way before."""

    email: str
    user: User | None
    is_known: bool


async def recognize(session: AsyncSession, provider: SignOnProvider, assertion: Assertion) -> Guest:
    """Raises SignOnRefused. Writes nothing.

    The subject at the issuer is the identity. The e-mail address only says, once, which user that
    is; afterwards it may change without making anybody somebody else.
    """
    proven = await proven_domains(session, provider.account_id)
    key = (provider.account_id, assertion.issuer, assertion.subject)
    identity = await session.get(SignOnIdentity, key)
    if identity is not None:
        known = await session.get_one(User, identity.user_id, populate_existing=True)
        assert known.account_id == provider.account_id, "identities are of users of the account"
        _check_domain(known.email, proven)
        return Guest(known.email, known, is_known=True)
    email = _vouched_email(assertion)
    _check_domain(email, proven)
    user = (await session.scalars(sa.select(User).where(User.email == email))).first()
    if user is not None and user.account_id != provider.account_id:
        raise SignOnRefused(SignOnProblem.USER_ELSEWHERE)
    if user is not None and await _has_identity(session, user, assertion.issuer):
        raise SignOnRefused(SignOnProblem.SUBJECT_CHANGED)
    return Guest(email, user, is_known=False)


async def admit(
    session: AsyncSession, provider: SignOnProvider, assertion: Assertion, tools: Tools
) -> User:
    """The user, made if it comes for the first time. Raises SignOnRefused.

    The account and the e-mail address are held by the caller.
    """
    guest = await recognize(session, provider, assertion)
    user, now = guest.user, tools.now()
    if user is None:
        user = await tools.claim(session, provider.account_id, guest.email)
    if user is None:
        user = User(
            id=new_uuid(tools.token_bytes),
            account_id=provider.account_id,
            email=guest.email,
            password_hash="",
            role=provider.default_role,
            created_at=now,
            updated_at=None,
            email_verified_at=now,
        )
        session.add(user)
        await session.flush()
    if not guest.is_known:
        # The provider vouched for the address, as a letter to it would have.
        user.email_verified_at = user.email_verified_at or now
        session.add(
            SignOnIdentity(
                account_id=provider.account_id,
                issuer=assertion.issuer,
                subject=assertion.subject,
                user_id=user.id,
                linked_at=now,
            )
        )
    return user


def _vouched_email(assertion: Assertion) -> str:
    if assertion.email is None:
        raise SignOnRefused(SignOnProblem.EMAIL_MISSING)
    if not assertion.is_email_verified:
        raise SignOnRefused(SignOnProblem.EMAIL_NOT_VERIFIED)
    try:
        return normalized_email(assertion.email)
    except InvalidField as error:
        raise SignOnRefused(SignOnProblem.EMAIL_MISSING, error.limit) from None


def _check_domain(email: str, proven: frozenset[str]) -> None:
    if domain_of(email) not in proven:
        raise SignOnRefused(SignOnProblem.DOMAIN_NOT_PROVEN)


async def _has_identity(session: AsyncSession, user: User, issuer: str) -> bool:
    found = await session.scalars(
        sa.select(SignOnIdentity.subject).where(
            SignOnIdentity.user_id == user.id, SignOnIdentity.issuer == issuer
        )
    )
    return found.first() is not None
