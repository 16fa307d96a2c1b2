"""Invitations: a letter with a link by which its reader becomes a member of an account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy import letters
from tenancy.accounts import Account, locked_account
from tenancy.changes import ChangeKind, record_change
from tenancy.database import Model, Text, stored_enum
from tenancy.dialects import hold
from tenancy.entrance import Entrance
from tenancy.errors import NotFound, WrongState
from tenancy.login_limits import INVITATIONS_PER_ACCOUNT, LETTERS_PER_EMAIL
from tenancy.namespaces import Namespace, NamespaceState
from tenancy.one_time_links import digest_of, unusable_link
from tenancy.passwords import normalized_password
from tenancy.randomness import new_secret
from tenancy.roles import AccountRole, Permission
from tenancy.sessions import NewSession, Sessions, SignInMethod
from tenancy.sign_in import SignInRule
from tenancy.users import (
    EMAIL_CHARACTERS_MAX,
    NamespaceGrant,
    User,
    normalized_email,
    principals_of,
)

INVITATION_DAYS = 7


class Invitation(Model):
    """Its id is that of the user who comes of it; `grants` are permissions by namespace id."""

    __tablename__ = "invitation"
    id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), index=True)
    email: Mapped[str] = mapped_column(Text(EMAIL_CHARACTERS_MAX), index=True)
    role: Mapped[AccountRole] = mapped_column(stored_enum(AccountRole))
    grants: Mapped[dict[str, str]] = mapped_column(sa.JSON)
    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    resource_version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    __table_args__ = (sa.UniqueConstraint("account_id", "email"),)

    @property
    def permissions(self) -> Mapping[str, Permission]:
        return {id: Permission(granted) for id, granted in self.grants.items()}


@dataclass(frozen=True, slots=True)
class Invited:
    """What an invitation says to who holds its link."""

    email: str
    account: str
    role: AccountRole
    expires_at: datetime


class Invitations:
    """`rules` say who may not log in by password, and so cannot join by one either."""

    def __init__(
        self, entrance: Entrance, *, sessions: Sessions, rules: Sequence[SignInRule]
    ) -> None:
        self._entrance = entrance
        self._sessions = sessions
        self._rules = rules

    async def send(self, session: AsyncSession, inviter: User, invitation: Invitation) -> None:
        """Posts the letter with a new link; an earlier one opens nothing any more.

        The account is held. Raises RateLimited. An address that has a login elsewhere gets a
        letter without a link, which the inviter cannot tell.
        """
        entrance = self._entrance
        await entrance.limits.count(
            session,
            {LETTERS_PER_EMAIL: invitation.email, INVITATIONS_PER_ACCOUNT: inviter.account_id},
        )
        account = _called(await session.get_one(Account, invitation.account_id))
        token = new_secret(entrance.token_bytes)
        invitation.digest = digest_of(token)
        invitation.expires_at = entrance.now() + timedelta(days=INVITATION_DAYS)
        to, by, console = invitation.email, inviter.email, entrance.console_address
        if await _has_login(session, to):
            letter = letters.invited_elsewhere(
                to, inviter=by, account=account, link=f"{console}/login"
            )
        else:
            letter = letters.invited(
                to,
                inviter=by,
                account=account,
                role=invitation.role.replace("_", " "),
                link=f"{console}/join?token={token}",
                expires_at=invitation.expires_at,
            )
        account_id = invitation.account_id
        await entrance.outbox.post(session, letter, account_id=account_id, kind="invitation")

    async def look_up(self, session: AsyncSession, token: str) -> Invited:
        """Raises InvalidField."""
        found = await self._live(session, token)
        account = await session.get_one(Account, found.account_id)
        return Invited(found.email, _called(account), found.role, found.expires_at)

    async def accept(self, *, token: str, password: str, user_agent: str = "") -> NewSession:
        """Makes the user, with a password of its choice, and logs it in.

        Raises InvalidField, and Unauthenticated where a rule forbids passwords.
        """
        password = normalized_password(password)
        database = self._entrance.database
        async with database.reading() as session:
            # A wrong token costs no hashing.
            account_id = (await self._live(session, token)).account_id
        password_hash = await self._entrance.passwords.hash(password)
        async with database.transaction() as session:
            await locked_account(session, account_id)
            user = await self._join(session, await self._live(session, token), password_hash)
            for rule in self._rules:
                await rule(session, user)
            return await self._sessions.open_for(
                session, user, method=SignInMethod.PASSWORD, user_agent=user_agent
            )

    async def claim(self, session: AsyncSession, account_id: str, email: str) -> User | None:
        """The user that an invitation makes of somebody who proved the address by other means;
        None if there is no live one. The caller holds the account.
        """
        query = sa.select(Invitation).where(
            Invitation.account_id == account_id,
            Invitation.email == normalized_email(email),
            Invitation.expires_at > self._entrance.now(),
        )
        found = (await session.scalars(query)).first()
        return None if found is None else await self._join(session, found, "")

    async def _live(self, session: AsyncSession, token: str) -> Invitation:
        query = (
            sa.select(Invitation)
            .where(
                Invitation.digest == digest_of(token),
                Invitation.expires_at > self._entrance.now(),
            )
            .execution_options(populate_existing=True)
        )
        found = (await session.scalars(query)).first()
        if found is None:
            raise unusable_link()
        return found

    async def _join(
        self, session: AsyncSession, invitation: Invitation, password_hash: str
    ) -> User:
        """The invitation becomes its user. Whoever followed it reads the address's letters."""
        await hold(session, f"e-mail {invitation.email}")
        if await _has_login(session, invitation.email):
            raise WrongState(
                "invitation",
                invitation.id,
                "for an address that has a login already",
                "ask to be invited with another address",
            )
        now = self._entrance.now()
        user = User(
            id=invitation.id,
            account_id=invitation.account_id,
            email=invitation.email,
            password_hash=password_hash,
            role=invitation.role,
            resource_version=invitation.resource_version + 1,
            created_at=now,
            updated_at=now,
            email_verified_at=now,
        )
        session.add(user)
        await session.delete(invitation)
        await session.flush()
        await add_grants(session, user, invitation.permissions)
        await record_change(session, ChangeKind.USER, user.id)
        actor = (await principals_of(session, [user]))[user.id]
        await self._entrance.audit.record(session, actor, "user.join", user.id)
        return user


async def add_grants(session: AsyncSession, user: User, grants: Mapping[str, Permission]) -> None:
    """Those in namespaces that are there; one may have been deleted since it was granted."""
    living = await session.scalars(
        sa.select(Namespace.id).where(
            Namespace.id.in_(grants),
            Namespace.account_id == user.account_id,
            Namespace.state != NamespaceState.DELETED,
        )
    )
    session.add_all(
        NamespaceGrant(user_id=user.id, namespace_id=id, permission=grants[id]) for id in living
    )
    await session.flush()


async def invitation_of(session: AsyncSession, account_id: str, id: str) -> Invitation:
    """Raises NotFound as for a user: to who asks by id, both are members."""
    found = await session.get(Invitation, id, populate_existing=True)
    if found is None or found.account_id != account_id:
        raise NotFound("user", id)
    return found


async def _has_login(session: AsyncSession, email: str) -> bool:
    return await session.scalar(sa.select(User.id).where(User.email == email)) is not None


def _called(account: Account) -> str:
    return f"{account.name} ({account.id})" if account.name else f"account {account.id}"
