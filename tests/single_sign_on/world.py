"""An account with an identity provider, and somebody who logs in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from urllib.parse import parse_qs, urlsplit

import httpx
import sqlalchemy as sa

from tenancy import AuditRecord, ControlPlane, Database, Passwords, Principal, User
from tenancy.outgoing import Outgoing
from tenancy.randomness import TokenBytes
from tenancy.roles import AccountRole
from tenancy.single_sign_on import ProviderDraft, SingleSignOn
from tenancy.single_sign_on.log_ins import BegunLogIn, FinishedLogIn, ReturnedAnswer
from tenancy.users import principals_of
from tests.single_sign_on.identity_provider import CLIENT_ID, CLIENT_SECRET, IdentityProvider
from tests.tenancy.cloud import ADDRESS, PASSWORD, PEPPER, Clock

CONSOLE = "https://console.example.com"
DOMAIN = "acme.test"
EMAIL = f"ada@{DOMAIN}"
OWNER_EMAIL = f"owner@{DOMAIN}"


@dataclass
class World:
    database: Database
    clock: Clock
    control: ControlPlane
    provider: IdentityProvider
    owner: Principal
    entropy: TokenBytes = Random(8).randbytes

    @property
    def sign_on(self) -> SingleSignOn:
        return self.control.single_sign_on

    @property
    def draft(self) -> ProviderDraft:
        """Settings that work, to be put where there are none."""
        return ProviderDraft(
            issuer=self.provider.issuer,
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            default_role=AccountRole.READ,
            is_enforced=False,
            break_glass_user_id=None,
            resource_version=0,
        )

    async def put(self, draft: ProviderDraft, actor: Principal | None = None) -> None:
        actor = actor or self.owner
        async with self.control.acting(actor) as session:
            await self.sign_on.settings.put(session, actor, draft)

    async def enforce(self) -> None:
        """After a log-in has shown that the settings work."""
        await self.finish(await self.returned(await self.begin()))
        await self.put(
            replace(self.draft, client_secret=None, is_enforced=True, resource_version=1)
        )

    async def add_domain(self, name: str, actor: Principal | None = None) -> None:
        actor = actor or self.owner
        async with self.control.acting(actor) as session:
            await self.sign_on.domains.add(session, actor, name)

    async def prove(self, name: str, actor: Principal | None = None) -> None:
        actor = actor or self.owner
        async with self.control.acting(actor) as session:
            await self.sign_on.domains.prove(session, actor, name)

    def forget_provider(self) -> None:
        """Its configuration and keys are asked for anew."""
        self.sign_on.providers.forget(self.provider.issuer)

    async def begin(self, email: str = EMAIL) -> BegunLogIn:
        # Log-ins are limited by the minute.
        self.clock.move(minutes=2)
        return await self.sign_on.log_ins.begin(email=email, address=ADDRESS, next_page="/usage")

    async def returned(self, begun: BegunLogIn) -> ReturnedAnswer:
        """What the browser brings back from the provider."""
        async with httpx.AsyncClient(trust_env=False, verify=False) as browser:
            response = await browser.get(begun.url)
        assert response.status_code == 302, response.text
        parts = urlsplit(response.headers["location"])
        told = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return ReturnedAnswer(
            account_id=parts.path.rpartition("/")[2],
            cookie=begun.cookie,
            state=told.get("state", ""),
            code=told.get("code", ""),
            issuer=told.get("iss"),
            error=told.get("error", ""),
        )

    async def finish(self, answer: ReturnedAnswer) -> FinishedLogIn:
        return await self.sign_on.log_ins.finish(answer)

    async def log_in(self, email: str = EMAIL) -> Principal:
        finished = await self.finish(await self.returned(await self.begin(email)))
        assert finished.opened is not None
        return finished.opened.principal

    async def users(self) -> dict[str, User]:
        """By e-mail."""
        async with self.database.reading() as session:
            return {user.email: user for user in await session.scalars(sa.select(User))}

    async def audited(self) -> list[tuple[str, str, list[str]]]:
        """Action, result and targets, in order."""
        async with self.database.reading() as session:
            query = sa.select(AuditRecord).order_by(AuditRecord.account_id, AuditRecord.sequence)
            return [
                (record.action, record.result.value, record.target_ids)
                for record in await session.scalars(query)
            ]

    async def sign_up(self, email: str) -> Principal:
        self.clock.move(minutes=2)
        await self.control.users.sign_up(email=email, password=PASSWORD, address=ADDRESS)
        async with self.database.reading() as session:
            user = (await session.scalars(sa.select(User).where(User.email == email))).one()
            return (await principals_of(session, [user]))[user.id]


@asynccontextmanager
async def open_world(
    url: str, provider: IdentityProvider, passwords: Passwords
) -> AsyncIterator[World]:
    """The owner's account has chosen the provider and proven its domain."""
    database, clock = Database(url), Clock()
    provider.now = clock.now
    control = ControlPlane(
        database,
        now=clock.now,
        token_bytes=Random(7).randbytes,
        pepper=PEPPER,
        passwords=passwords,
        console_address=CONSOLE,
        outgoing=Outgoing(allows_loopback=True),
    )
    world = World(database, clock, control, provider, owner=None)  # type: ignore[arg-type]
    world.owner = await world.sign_up(OWNER_EMAIL)
    await world.put(world.draft)
    await world.add_domain(DOMAIN)
    await world.prove(DOMAIN)
    provider.redirect_uri = world.sign_on.settings.redirect_uri(world.owner.account_id)
    yield world
    await database.aclose()
