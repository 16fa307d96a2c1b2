from __future__ import annotations

import unicodedata

import pytest
import sqlalchemy as sa

from tenancy import (
    AccountRole,
    InvalidField,
    NotFound,
    PermissionDenied,
    RateLimited,
    User,
    WrongState,
)
from tenancy.login_limits import (
    ATTEMPT_WINDOW_SECONDS,
    ATTEMPTS_PER_ADDRESS_MAX,
    network_of,
)
from tenancy.passwords import (
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
    Passwords,
    normalized_password,
)
from tenancy.users import normalized_email
from tests.tenancy.cloud import ADDRESS, PASSWORD, Cloud


async def test_sign_up_makes_an_account_and_its_owner(cloud: Cloud) -> None:
    owner = await cloud.owner()
    assert owner.account_role is AccountRole.OWNER
    assert len(owner.account_id) == 6
    assert owner.account_id == owner.account_id.lower()


async def test_a_known_email_is_not_refused_and_gets_no_second_account(cloud: Cloud) -> None:
    await cloud.owner("ada@example.com")
    for email in ("ADA@example.com", "bob@example.com"):
        await cloud.control.users.sign_up(email=email, password="another password", address=ADDRESS)
    async with cloud.database.reading() as session:
        emails = (await session.scalars(sa.select(User.email).order_by(User.email))).all()
    assert emails == ["ada@example.com", "bob@example.com"]


async def test_a_second_sign_up_does_not_change_the_password(cloud: Cloud) -> None:
    await cloud.owner("ada@example.com")
    await cloud.control.users.sign_up(
        email="ada@example.com", password="another password", address=ADDRESS
    )
    await cloud.control.sign_in.log_in(email="ada@example.com", password=PASSWORD, address=ADDRESS)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@@example.com",
        "a da@example.com",
        "ada.@example.com",
        "ada@-example.com",
        "ada@example.com\nbcc: x",
        "ädä@example.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 63 + ("." + "c" * 63) * 3 + ".com",
    ],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidField, match="email"):
        normalized_email(email)


def test_addresses_are_lower_cased() -> None:
    assert normalized_email(" Ada.Lovelace+x@Example.COM ") == "ada.lovelace+x@example.com"


@pytest.mark.parametrize(
    ("characters", "is_accepted"),
    [
        (PASSWORD_CHARACTERS_MIN - 1, False),
        (PASSWORD_CHARACTERS_MIN, True),
        (PASSWORD_CHARACTERS_MAX, True),
        (PASSWORD_CHARACTERS_MAX + 1, False),
        (PASSWORD_CHARACTERS_MAX * 1000, False),
    ],
)
def test_passwords_have_a_length(characters: int, is_accepted: bool) -> None:
    if is_accepted:
        assert normalized_password("p" * characters) == "p" * characters
    else:
        with pytest.raises(InvalidField, match="password"):
            normalized_password("p" * characters)


def test_the_same_password_from_two_keyboards_is_one() -> None:
    typed = "pässwörd één"
    decomposed = unicodedata.normalize("NFD", typed)
    assert decomposed != typed
    assert normalized_password(decomposed) == normalized_password(typed)


def test_half_a_character_is_no_password() -> None:
    with pytest.raises(InvalidField, match="password"):
        normalized_password("p" * PASSWORD_CHARACTERS_MIN + "\ud800")


async def test_a_hash_verifies_its_password_only(passwords: Passwords) -> None:
    stored = await passwords.hash(PASSWORD)
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, PASSWORD)
    assert not await passwords.verify(stored, PASSWORD + "x")
    assert not await passwords.verify(None, PASSWORD)


async def test_a_flood_of_sign_ups_is_stopped_by_address(cloud: Cloud) -> None:
    for number in range(ATTEMPTS_PER_ADDRESS_MAX):
        await cloud.owner(f"user{number}@example.com")
    with pytest.raises(RateLimited) as refusal:
        await cloud.owner("one-more@example.com")
    assert refusal.value.retry_after_seconds == ATTEMPT_WINDOW_SECONDS
    cloud.clock.move(seconds=refusal.value.retry_after_seconds)
    await cloud.owner("one-more@example.com")


def test_one_ipv6_customer_is_one_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("unix") == "unix"


async def test_an_admin_gives_roles_but_makes_no_owner(cloud: Cloud) -> None:
    owner = await cloud.owner()
    admin = await cloud.member(owner, AccountRole.ADMIN)
    reader = await cloud.member(owner, AccountRole.READ)
    set_role = cloud.set_role
    async with cloud.control.acting(admin) as session:
        await set_role(session, admin, reader.id, AccountRole.DEVELOPER)
    assert (await cloud.principal(reader.id)).account_role is AccountRole.DEVELOPER
    for user_id, role in ((reader.id, AccountRole.OWNER), (owner.id, AccountRole.READ)):
        with pytest.raises(PermissionDenied):
            async with cloud.control.acting(admin) as session:
                await set_role(session, admin, user_id, role)
    with pytest.raises(PermissionDenied):
        async with cloud.control.acting(reader) as session:
            await set_role(session, reader, reader.id, AccountRole.ADMIN)


async def test_the_last_owner_stays_one(cloud: Cloud) -> None:
    owner = await cloud.owner()
    second = await cloud.member(owner, AccountRole.OWNER)
    async with cloud.control.acting(owner) as session:
        await cloud.set_role(session, owner, second.id, AccountRole.READ)
    with pytest.raises(WrongState, match="last owner"):
        async with cloud.control.acting(owner) as session:
            await cloud.set_role(session, owner, owner.id, AccountRole.READ)


async def test_a_user_of_another_account_does_not_exist(cloud: Cloud) -> None:
    ada, bob = await cloud.owner(), await cloud.owner("bob@example.com")
    async with cloud.database.transaction() as session:
        assert (await cloud.control.users.get(session, ada, ada.id)).id == ada.id
        with pytest.raises(NotFound):
            await cloud.control.users.get(session, ada, bob.id)
        with pytest.raises(NotFound):
            await cloud.set_role(session, ada, bob.id, AccountRole.READ)
