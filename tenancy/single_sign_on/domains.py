"""The domains of an account's e-mail addresses, and how it proves that they are its own."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.accounts import locked_account
from tenancy.dialects import hold
from tenancy.errors import AlreadyExists, InvalidField, LimitReached, NotFound
from tenancy.randomness import new_secret
from tenancy.roles import Access, Principal, require
from tenancy.single_sign_on.domain_proof import PROOF_PREFIX, DomainProof
from tenancy.single_sign_on.owner import require_owner
from tenancy.single_sign_on.tables import DOMAIN_CHARACTERS_MAX, SignOnDomain
from tenancy.single_sign_on.tools import Tools

DOMAINS_MAX = 20

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")


def domain_of(email: str) -> str:
    return email.rpartition("@")[2]


async def proven_domains(session: AsyncSession, account_id: str) -> frozenset[str]:
    found = await session.scalars(
        sa.select(SignOnDomain.name).where(
            SignOnDomain.account_id == account_id, SignOnDomain.proven_at.is_not(None)
        )
    )
    return frozenset(found)


async def account_of_domain(session: AsyncSession, domain: str) -> str | None:
    """The account that has proven it."""
    found = await session.scalars(
        sa.select(SignOnDomain.account_id).where(
            SignOnDomain.name == domain, SignOnDomain.proven_at.is_not(None)
        )
    )
    return found.first()


class SignOnDomains:
    def __init__(self, tools: Tools, *, proof: DomainProof) -> None:
        self._tools = tools
        self._proof = proof

    async def visible_to(self, session: AsyncSession, actor: Principal) -> list[SignOnDomain]:
        """All domains of the account, by name."""
        action = "single_sign_on.get_domains"
        require(actor, Access.ACCOUNT_READ, action, target=actor.account_id)
        found = await session.scalars(
            sa.select(SignOnDomain)
            .where(SignOnDomain.account_id == actor.account_id)
            .order_by(SignOnDomain.name)
        )
        return list(found)

    async def add(self, session: AsyncSession, actor: Principal, name: str) -> SignOnDomain:
        """Says that the account owns it; it counts for nothing before it is proven."""
        action = "single_sign_on.add_domain"
        name = normalized_domain(name)
        require_owner(actor, action, name)
        await locked_account(session, actor.account_id)
        if await session.get(SignOnDomain, (actor.account_id, name)) is not None:
            raise AlreadyExists("domain", name)
        count = await session.scalar(
            sa.select(sa.func.count())
            .select_from(SignOnDomain)
            .where(SignOnDomain.account_id == actor.account_id)
        )
        if count == DOMAINS_MAX:
            raise LimitReached("domains of an account", DOMAINS_MAX, "remove one first")
        domain = SignOnDomain(
            account_id=actor.account_id,
            name=name,
            proof=PROOF_PREFIX + new_secret(self._tools.token_bytes),
            created_at=self._tools.now(),
            proven_at=None,
        )
        session.add(domain)
        await self._tools.audit.record(session, actor, action, name)
        return domain

    async def prove(self, session: AsyncSession, actor: Principal, name: str) -> SignOnDomain:
        """Looks for the proof, which it reads before the unit of work locks anything."""
        action = "single_sign_on.prove_domain"
        require_owner(actor, action, name)
        async with self._tools.database.reading() as reading:
            wanted = (await self._of(reading, actor, name)).proof
        await self._tools.count_question(actor.account_id)
        await self._proof.check(name, wanted)
        await hold(session, f"sign-on domain {name}")
        await locked_account(session, actor.account_id)
        domain = await self._of(session, actor, name)
        if await account_of_domain(session, name) not in (None, actor.account_id):
            raise AlreadyExists("domain", name)
        if domain.proven_at is None:
            domain.proven_at = self._tools.now()
            await self._tools.audit.record(session, actor, action, name)
        return domain

    async def remove(self, session: AsyncSession, actor: Principal, name: str) -> None:
        """Users with addresses of it log in by password again."""
        action = "single_sign_on.remove_domain"
        require_owner(actor, action, name)
        await locked_account(session, actor.account_id)
        await session.delete(await self._of(session, actor, name))
        await self._tools.audit.record(session, actor, action, name)

    async def _of(self, session: AsyncSession, actor: Principal, name: str) -> SignOnDomain:
        found = await session.get(SignOnDomain, (actor.account_id, name), populate_existing=True)
        if found is None:
            raise NotFound("domain", name)
        return found


def normalized_domain(name: str) -> str:
    lowered = name.strip().lower().removesuffix(".")
    if len(lowered) > DOMAIN_CHARACTERS_MAX or _DOMAIN.fullmatch(lowered) is None:
        raise InvalidField(
            "domain",
            f"must be a name like example.com of at most {DOMAIN_CHARACTERS_MAX} ASCII characters",
            "give what stands behind the @ of your e-mail addresses",
        )
    return lowered
