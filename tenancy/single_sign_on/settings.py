"""The identity provider of an account: chosen, changed and removed by its owners."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from tenancy.accounts import locked_account
from tenancy.errors import AddressRefused, Conflict, InvalidField, NotFound, WrongState
from tenancy.outgoing import Outgoing
from tenancy.roles import Access, AccountRole, Principal, require
from tenancy.sealing import Sealer
from tenancy.single_sign_on.domains import proven_domains
from tenancy.single_sign_on.errors import SignOnRefused
from tenancy.single_sign_on.exchange import Client
from tenancy.single_sign_on.known_providers import KnownProviders
from tenancy.single_sign_on.owner import require_owner
from tenancy.single_sign_on.tables import (
    CLIENT_ID_CHARACTERS_MAX,
    ISSUER_CHARACTERS_MAX,
    SignOnProvider,
)
from tenancy.single_sign_on.tools import Tools
from tenancy.users import User

CLIENT_SECRET_CHARACTERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class ProviderDraft:
    """What an owner asks for. Without a client secret the one that is there stays.

    `break_glass_user_id` names the owner who may always log in by password; at first it is whoever
    asks. `resource_version` is that of the settings which are replaced, 0 if there are none.
    """

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    default_role: AccountRole
    is_enforced: bool
    break_glass_user_id: str | None
    resource_version: int


class SignOnSettings:
    def __init__(
        self,
        tools: Tools,
        *,
        outgoing: Outgoing,
        providers: KnownProviders,
        sealer: Sealer,
        console_address: str,
    ) -> None:
        self._tools = tools
        self._outgoing = outgoing
        self._providers = providers
        self._sealer = sealer
        self._console_address = console_address

    def redirect_uri(self, account_id: str) -> str:
        """One for each account, so that no provider can pass its answers off as another's."""
        return f"{self._console_address}/login/sso/{account_id}"

    def client(self, provider: SignOnProvider) -> Client:
        """What we are at this provider; raises SealBroken."""
        secret = self._sealer.unseal(provider.client_secret, context=_context(provider.account_id))
        return Client(provider.client_id, secret.decode(), self.redirect_uri(provider.account_id))

    async def find(self, session: AsyncSession, actor: Principal) -> SignOnProvider | None:
        """None if the account has no single sign-on."""
        action = "single_sign_on.get"
        require(actor, Access.ACCOUNT_READ, action, target=actor.account_id)
        return await session.get(SignOnProvider, actor.account_id)

    async def put(
        self, session: AsyncSession, actor: Principal, draft: ProviderDraft
    ) -> SignOnProvider:
        """Asks the provider for its configuration before the unit of work begins to write."""
        action = "single_sign_on.put"
        require_owner(actor, action, actor.account_id)
        self._check(draft)
        await self._tools.count_question(actor.account_id)
        self._providers.forget(draft.issuer)
        try:
            await self._providers.metadata(draft.issuer)
        except SignOnRefused as error:
            raise InvalidField("issuer", str(error), "correct it, or the provider") from error
        await locked_account(session, actor.account_id)
        found = await session.get(SignOnProvider, actor.account_id, populate_existing=True)
        version = 0 if found is None else found.resource_version
        if draft.resource_version != version:
            raise Conflict("single sign-on", actor.account_id, version)
        changed = found or self._new(actor.account_id)
        await self._change(session, changed, draft, actor)
        session.add(changed)
        await self._tools.audit.record(session, actor, action, draft.issuer)
        return changed

    async def remove(self, session: AsyncSession, actor: Principal) -> None:
        """All log in by password again; domains stay, and so does who is who at the provider."""
        action = "single_sign_on.delete"
        require_owner(actor, action, actor.account_id)
        await locked_account(session, actor.account_id)
        found = await session.get(SignOnProvider, actor.account_id)
        if found is None:
            raise NotFound("single sign-on", actor.account_id)
        await session.delete(found)
        await self._tools.audit.record(session, actor, action, found.issuer)

    async def _change(
        self, session: AsyncSession, changed: SignOnProvider, draft: ProviderDraft, actor: Principal
    ) -> None:
        is_same = (changed.issuer, changed.client_id) == (draft.issuer, draft.client_id)
        if draft.client_secret is None and not is_same:
            # Else whoever names an issuer of its own is sent the secret of the one before.
            raise InvalidField("client_secret", "belongs to other settings", "give it anew")
        if draft.client_secret is not None:
            secret = draft.client_secret.encode()
            changed.client_secret = self._sealer.seal(secret, context=_context(changed.account_id))
        if not is_same or draft.client_secret is not None:
            changed.worked_at = None
        break_glass = draft.break_glass_user_id or actor.id
        await _check_owner(session, changed.account_id, break_glass)
        changed.issuer, changed.client_id = draft.issuer, draft.client_id
        changed.default_role = draft.default_role
        changed.is_enforced = draft.is_enforced
        changed.break_glass_user_id = break_glass
        changed.resource_version += 1
        changed.updated_at = self._tools.now()
        if draft.is_enforced:
            await _check_enforceable(session, changed)

    def _new(self, account_id: str) -> SignOnProvider:
        return SignOnProvider(
            account_id=account_id,
            issuer="",
            client_id="",
            resource_version=0,
            worked_at=None,
            created_at=self._tools.now(),
        )

    def _check(self, draft: ProviderDraft) -> None:
        try:
            self._outgoing.check(draft.issuer)
        except AddressRefused as error:
            raise InvalidField("issuer", error.why, "copy it from your provider") from error
        limits = {
            "issuer": (draft.issuer, ISSUER_CHARACTERS_MAX),
            "client_id": (draft.client_id, CLIENT_ID_CHARACTERS_MAX),
            "client_secret": (draft.client_secret, CLIENT_SECRET_CHARACTERS_MAX),
        }
        for name, (text, limit) in limits.items():
            is_text = text is None or (text.isascii() and text.isprintable())
            if not is_text or (text is not None and not 0 < len(text) <= limit):
                raise InvalidField(
                    name, f"must have 1 to {limit} ASCII characters", "copy it from your provider"
                )
        if "?" in draft.issuer:
            raise InvalidField("issuer", "has a query, which no issuer has", "remove it")
        if draft.default_role is AccountRole.OWNER:
            raise InvalidField("default_role", "cannot be owner", "make owners by hand")


async def _check_owner(session: AsyncSession, account_id: str, user_id: str) -> None:
    with session.no_autoflush:
        user = await session.get(User, user_id, populate_existing=True)
    if user is None or user.account_id != account_id or user.role is not AccountRole.OWNER:
        raise InvalidField("break_glass_user_id", "is no owner of this account", "choose an owner")


async def _check_enforceable(session: AsyncSession, provider: SignOnProvider) -> None:
    remedy = "run the test first; then everybody can log in"
    if provider.worked_at is None:
        raise WrongState("single sign-on", provider.account_id, "not proven to work", remedy)
    if not await proven_domains(session, provider.account_id):
        raise WrongState(
            "single sign-on", provider.account_id, "without a proven domain", "prove one first"
        )


async def worked(session: AsyncSession, provider: SignOnProvider, tools: Tools) -> None:
    """Notes that these very settings let somebody in."""
    await session.execute(
        sa.update(SignOnProvider)
        .where(
            SignOnProvider.account_id == provider.account_id,
            SignOnProvider.resource_version == provider.resource_version,
        )
        .values(worked_at=tools.now())
    )


def _context(account_id: str) -> str:
    return f"client secret of {account_id}"
