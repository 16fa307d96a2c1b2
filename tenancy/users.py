"""Users: sign-up, roles in the account, grants in namespaces."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.accounts import check_account_name, create_account
from tenancy.audit import AuditResult
from tenancy.database import Model, Text, stored_enum
from tenancy.dialects import hold
from tenancy.entrance import Entrance
from tenancy.errors import InvalidField, NotFound
from tenancy.passwords import normalized_password
from tenancy.randomness import new_uuid
from tenancy.roles import (
    ADMIN_OF_ALL_NAMESPACES,
    Access,
    AccountRole,
    Permission,
    Principal,
    PrincipalKind,
    require,
)

EMAIL_CHARACTERS_MAX = 254
EMAIL_LOCAL_PART_CHARACTERS_MAX = 64
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    rf"@(?:{_LABEL}\.)+{_LABEL}"
)


class User(Model):
    """An empty `password_hash` is no password: the user logs in by single sign-on."""

    __tablename__ = "user_login"
    id: Mapped[str] = mapped_column(Text(36), primary_key=True)
    account_id: Mapped[str] = mapped_column(sa.ForeignKey("account.id"), index=True)
    email: Mapped[str] = mapped_column(Text(EMAIL_CHARACTERS_MAX), unique=True)
    password_hash: Mapped[str] = mapped_column(Text(200))
    role: Mapped[AccountRole] = mapped_column(stored_enum(AccountRole))
    resource_version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]
    email_verified_at: Mapped[datetime | None]


class NamespaceGrant(Model):
    """A permission of one user in one namespace."""

    __tablename__ = "namespace_grant"
    user_id: Mapped[str] = mapped_column(sa.ForeignKey("user_login.id"), primary_key=True)
    namespace_id: Mapped[str] = mapped_column(sa.ForeignKey("namespace.id"), primary_key=True)
    permission: Mapped[Permission] = mapped_column(stored_enum(Permission))


def normalized_email(email: str) -> str:
    lowered = email.strip().lower()
    local_part = lowered.partition("@")[0]
    if (
        len(lowered) > EMAIL_CHARACTERS_MAX
        or len(local_part) > EMAIL_LOCAL_PART_CHARACTERS_MAX
        or _EMAIL.fullmatch(lowered) is None
    ):
        raise InvalidField(
            "email",
            f"must be an address like name@example.com of at most {EMAIL_CHARACTERS_MAX} "
            "ASCII characters",
            "correct the address",
        )
    return lowered


async def principals_of(session: AsyncSession, users: list[User]) -> dict[str, Principal]:
    """What each user may do now, by user id."""
    grants: dict[str, dict[str, Permission]] = {user.id: {} for user in users}
    rows = await session.scalars(
        sa.select(NamespaceGrant).where(NamespaceGrant.user_id.in_(grants))
    )
    for row in rows:
        grants[row.user_id][row.namespace_id] = row.permission
    return {
        user.id: Principal(
            PrincipalKind.USER,
            user.id,
            user.account_id,
            account_role=user.role,
            account_permission=(Permission.ADMIN if user.role in ADMIN_OF_ALL_NAMESPACES else None),
            grants=grants[user.id],
            user_id=user.id,
        )
        for user in users
    }


Welcome = Callable[[AsyncSession, User], Awaitable[None]]
"""What else a new user needs, in the unit of work of the sign-up."""


class Users:
    def __init__(self, entrance: Entrance, *, welcome: Welcome) -> None:
        self._entrance = entrance
        self._welcome = welcome

    async def sign_up(
        self, *, email: str, password: str, address: str, account_name: str = ""
    ) -> None:
        """Makes an account with this user as its owner; log in afterwards.

        A known e-mail gets the same answer after the same work, so that strangers cannot ask
        who is a customer.
        """
        email = normalized_email(email)
        password = normalized_password(password)
        check_account_name(account_name)
        entrance = self._entrance
        async with entrance.database.transaction() as session:
            await entrance.limits.admit(session, email=email, address=address)
        password_hash = await entrance.passwords.hash(password)
        async with entrance.database.transaction() as session:
            await hold(session, f"e-mail {email}")
            known = (await session.scalars(sa.select(User).where(User.email == email))).first()
            if known is not None:
                actor = (await principals_of(session, [known]))[known.id]
                await entrance.audit.record(
                    session, actor, "user.sign_up", known.id, result=AuditResult.DENIED
                )
                return
            now = entrance.now()
            account = await create_account(
                session, created_at=now, token_bytes=entrance.token_bytes, name=account_name
            )
            user = User(
                id=new_uuid(entrance.token_bytes),
                account_id=account.id,
                email=email,
                password_hash=password_hash,
                role=AccountRole.OWNER,
                created_at=now,
            )
            session.add(user)
            await session.flush()
            actor = (await principals_of(session, [user]))[user.id]
            await entrance.audit.record(session, actor, "user.sign_up", account.id, user.id)
            await self._welcome(session, user)

    async def get(self, session: AsyncSession, actor: Principal, user_id: str) -> User:
        require(actor, Access.ACCOUNT_READ, "user.get", target=user_id)
        return await user_of(session, actor.account_id, user_id)

    async def visible_to(self, session: AsyncSession, actor: Principal) -> list[User]:
        """All users of the account, by e-mail."""
        require(actor, Access.ACCOUNT_READ, "user.list", target=actor.account_id)
        query = sa.select(User).where(User.account_id == actor.account_id).order_by(User.email)
        return list(await session.scalars(query))


async def user_of(session: AsyncSession, account_id: str, user_id: str) -> User:
    """As it is now; raises NotFound for anybody else's."""
    user = await session.get(User, user_id, populate_existing=True)
    if user is None or user.account_id != account_id:
        raise NotFound("user", user_id)
    return user
