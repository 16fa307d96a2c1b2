"""Who administers a namespace is told, once each time, that a CA that it trusts expires."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import alembic.command
import pytest
import sqlalchemy as sa

from tenancy import (
    AccountRole,
    CertificateTrust,
    NamespaceRef,
    NamespaceSettings,
    Passwords,
    Permission,
    Principal,
    User,
    expiry_letters,
    migrate,
)
from tenancy.authority_expiry import TOLD_DAYS, ExpiringAuthority
from tenancy.certificates import SUBJECT_CHARACTERS_MAX
from tenancy.dialects import open_migration_engine, prepare_migration
from tenancy.expiry_letters import LOOK_AGAIN_SECONDS, LOOK_SECONDS
from tenancy.mail import Letter
from tenancy.mail.outbox import PostedLetter
from tenancy.migrate import MIGRATIONS
from tenancy.users import NamespaceGrant
from tests.tenancy.cloud import Cloud, open_cloud
from tests.tls.pki import Identity, authority

ROOT = authority("Acme root", organization="Acme", days_to=60)
OTHER = authority("Other root", days_to=60)
OWNER = "ada@example.com"


def before(it: Identity, **span: float) -> datetime:
    """So long before the CA expires."""
    return it.certificate.not_valid_after_utc - timedelta(**span)


async def trust(
    cloud: Cloud,
    actor: Principal,
    ref: NamespaceRef,
    *authorities: Identity,
    is_enabled: bool = True,
) -> None:
    wanted = CertificateTrust(is_enabled, "".join(each.pem for each in authorities))
    control = cloud.control
    async with control.acting(actor) as session:
        version = (await control.namespaces.get(session, actor, ref.id)).resource_version
        settings = NamespaceSettings(certificates=wanted)
        await control.namespaces.update(session, actor, ref.id, settings, resource_version=version)
    await control.reconciler.reconcile(cloud.cell)


async def told(cloud: Cloud) -> list[Letter]:
    """What a look adds to the outbox."""
    async with cloud.database.reading() as session:
        known = set(await session.scalars(sa.select(PostedLetter.id)))
    await cloud.control.expiry_letters.write()
    async with cloud.database.reading() as session:
        found = await session.scalars(
            sa.select(PostedLetter)
            .where(PostedLetter.id.not_in(known))
            .order_by(PostedLetter.recipient)
        )
        return [cloud.control.outbox.opened(each) for each in found]


async def subjects(cloud: Cloud, at: datetime) -> list[str]:
    cloud.clock.at = at
    return [letter.subject for letter in await told(cloud)]


@pytest.fixture
async def owner(cloud: Cloud) -> Principal:
    cloud.clock.at = before(ROOT, days=50)
    return await cloud.owner(OWNER)


@pytest.fixture
async def ref(cloud: Cloud, owner: Principal) -> NamespaceRef:
    return await cloud.namespace(owner)


async def test_each_letter_is_written_when_it_is_due_and_once(
    cloud: Cloud, owner: Principal, ref: NamespaceRef, tmp_path: Path, passwords: Passwords
) -> None:
    await trust(cloud, owner, ref, ROOT)
    expected = {30: "in 30 days", 15: "in 15 days", 7: "in 7 days", 1: "within a day"}
    for days, text in expected.items():
        assert await subjects(cloud, before(ROOT, days=days, seconds=1)) == []
        wanted = [f"A CA of {ref.full_name} expires {text}"]
        assert await subjects(cloud, before(ROOT, days=days)) == wanted
        assert await told(cloud) == []
    assert await subjects(cloud, before(ROOT)) == [f"A CA of {ref.full_name} has expired"]
    async with open_cloud(cloud.url, tmp_path / "restarted", passwords, seed=8) as restarted:
        assert await subjects(restarted, before(ROOT, days=-100)) == []
        assert await restarted.control.expiry_letters.write() == LOOK_SECONDS


async def test_a_letter_says_what_expires_and_what_to_do(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    await trust(cloud, owner, ref, ROOT)
    cloud.clock.at = before(ROOT, days=15)
    (letter,) = await told(cloud)
    assert letter.to == OWNER
    at = ROOT.certificate.not_valid_after_utc
    for line in (
        f"The namespace {ref.full_name} accepts client certificates of CAs that expire:",
        "  O=Acme,CN=Acme root",
        f"  expires in 15 days: {at:%Y-%m-%d %H:%M} UTC",
        f"  SHA-256 fingerprint {ROOT.fingerprint}",
        f"http://localhost/namespaces/{ref.full_name}/certificates",
    ):
        assert line in letter.text.splitlines()
    assert "add its successor" in letter.text


async def test_all_that_expire_together_are_in_one_letter_the_first_first(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    await trust(cloud, owner, ref, authority("Later", days_to=69.5), ROOT)
    cloud.clock.at = before(ROOT, days=3)
    (letter,) = await told(cloud)
    assert letter.subject == f"A CA of {ref.full_name} expires in 3 days"
    assert letter.text.index("CN=Acme root") < letter.text.index("CN=Later")
    assert "expires in 13 days" in letter.text


async def test_those_are_told_who_can_do_something_about_it(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    roles = [role for role in AccountRole if role is not AccountRole.OWNER]
    members = {role: await cloud.member(owner, role) for role in roles}
    granted = [await cloud.member(owner, AccountRole.READ) for _ in range(3)]
    elsewhere = await cloud.namespace(owner, "elsewhere")
    await cloud.owner("eve@example.com")
    grants = (
        (granted[0], ref, Permission.ADMIN),
        (granted[1], ref, Permission.WRITE),
        (granted[2], elsewhere, Permission.ADMIN),
    )
    async with cloud.database.transaction() as session:
        for who, where, what in grants:
            session.add(NamespaceGrant(user_id=who.id, namespace_id=where.id, permission=what))
    await trust(cloud, owner, ref, ROOT)
    cloud.clock.at = before(ROOT, days=1)
    letters = await told(cloud)
    wanted = [owner.id, members[AccountRole.ADMIN].id, granted[0].id]
    async with cloud.database.reading() as session:
        found = await session.scalars(sa.select(User.email).where(User.id.in_(wanted)))
        assert sorted(letter.to for letter in letters) == sorted(found)


async def test_what_was_missed_while_nothing_ran_is_not_told_later(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    await trust(cloud, owner, ref, ROOT)
    assert await subjects(cloud, before(ROOT, days=4.5)) == [
        f"A CA of {ref.full_name} expires in 5 days"
    ]
    assert await subjects(cloud, before(ROOT, days=2)) == []
    assert len(await subjects(cloud, before(ROOT, days=1))) == 1


async def test_a_replaced_bundle_starts_afresh_and_what_stays_is_not_told_again(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    await trust(cloud, owner, ref, ROOT)
    assert len(await subjects(cloud, before(ROOT, days=20))) == 1
    await trust(cloud, owner, ref, ROOT, OTHER)
    (letter,) = await told(cloud)
    assert (OTHER.fingerprint in letter.text, ROOT.fingerprint in letter.text) == (True, False)
    successor = authority("Acme root", organization="Acme", days_to=400)
    await trust(cloud, owner, ref, successor)
    assert await subjects(cloud, before(ROOT)) == []
    assert len(await subjects(cloud, before(successor, days=30))) == 1


async def test_a_namespace_that_accepts_no_certificates_is_told_nothing(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    await trust(cloud, owner, ref, ROOT)
    assert len(await subjects(cloud, before(ROOT, days=30))) == 1
    await trust(cloud, owner, ref, ROOT, is_enabled=False)
    assert await subjects(cloud, before(ROOT, days=14)) == []
    await trust(cloud, owner, ref, ROOT)
    assert len(await told(cloud)) == 1
    await trust(cloud, owner, ref, ROOT, is_enabled=False)
    await trust(cloud, owner, ref, ROOT)
    assert await told(cloud) == []


async def test_a_namespace_that_is_gone_is_told_nothing(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    await trust(cloud, owner, ref, ROOT)
    control = cloud.control
    async with control.acting(owner) as session:
        found = await control.namespaces.get(session, owner, ref.id)
        await control.namespaces.delete(
            session, owner, ref.id, resource_version=found.resource_version
        )
    for days in (30, 0):
        assert await subjects(cloud, before(ROOT, days=days)) == []
        await control.reconciler.reconcile(cloud.cell)
    async with cloud.database.reading() as session:
        assert (await session.scalars(sa.select(ExpiringAuthority.due_at))).all() == [None]


async def test_a_namespace_that_is_made_with_cas_is_told_of_them(
    cloud: Cloud, owner: Principal
) -> None:
    settings = NamespaceSettings(certificates=CertificateTrust(True, ROOT.pem))
    async with cloud.control.acting(owner) as session:
        await cloud.control.namespaces.create(session, owner, "orders", settings)
    assert len(await subjects(cloud, before(ROOT, days=30))) == 1


async def test_a_repeated_request_does_not_bring_back_what_was_trusted_then(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    control = cloud.control
    settings = NamespaceSettings(certificates=CertificateTrust(True, ROOT.pem))
    async with control.acting(owner) as session:
        version = (await control.namespaces.get(session, owner, ref.id)).resource_version

    async def repeat() -> None:
        async with control.acting(owner) as session:
            await control.namespaces.update(
                session, owner, ref.id, settings, resource_version=version, operation_id="once"
            )

    await repeat()
    await control.reconciler.reconcile(cloud.cell)
    await trust(cloud, owner, ref, authority("Lasting", days_to=400))
    await repeat()
    assert await subjects(cloud, before(ROOT, days=1)) == []


async def test_two_processes_write_one_letter(
    cloud: Cloud, owner: Principal, ref: NamespaceRef, tmp_path: Path, passwords: Passwords
) -> None:
    await trust(cloud, owner, ref, ROOT)
    async with open_cloud(cloud.url, tmp_path / "beside", passwords, seed=8) as beside:
        for days in TOLD_DAYS:
            cloud.clock.at = beside.clock.at = before(ROOT, days=days)
            looks = [each.control.expiry_letters.write() for each in (cloud, beside) * 3]
            await asyncio.gather(*looks)
    async with cloud.database.reading() as session:
        posted = (await session.scalars(sa.select(PostedLetter))).all()
    kinds = Counter(each.kind for each in posted)
    assert kinds[expiry_letters.KIND] == len(TOLD_DAYS)


async def test_a_letter_that_could_not_be_posted_is_posted_later(
    cloud: Cloud, owner: Principal, ref: NamespaceRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody gets a second one, who got the first of that unit of work."""
    await cloud.member(owner, AccountRole.ADMIN)
    await trust(cloud, owner, ref, ROOT)
    cloud.clock.at = before(ROOT, days=7)
    outbox, post = cloud.control.outbox, cloud.control.outbox.post
    posted: list[str] = []

    async def fail_at_the_second(*arguments: object, **named: object) -> str:
        posted.append(await post(*arguments, **named))  # type: ignore[arg-type]
        if len(posted) == 2:
            raise ZeroDivisionError
        return posted[-1]

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "post", fail_at_the_second)
        with pytest.raises(ZeroDivisionError):
            await cloud.control.expiry_letters.write()
    assert len(posted) == 2
    assert len(await told(cloud)) == 2
    assert await told(cloud) == []


async def test_a_look_does_so_much_and_no_more(
    cloud: Cloud, owner: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_letters, "AUTHORITIES_PER_LOOK_MAX", 2)
    for number in range(3):
        await trust(cloud, owner, await cloud.namespace(owner, f"orders-{number}"), ROOT)
    cloud.clock.at = before(ROOT, days=30)
    letters = cloud.control.expiry_letters
    assert [await letters.write() for _ in range(3)] == [
        LOOK_AGAIN_SECONDS,
        LOOK_SECONDS,
        LOOK_SECONDS,
    ]
    async with cloud.database.reading() as session:
        told_days = (await session.scalars(sa.select(ExpiringAuthority.told_days))).all()
    assert told_days == [30, 30, 30]


async def test_the_name_of_a_ca_is_one_line_of_a_letter(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    sly = authority("a\n\nhttps://evil.example\n\n\u202e" + "x" * 20, days_to=60)
    long = authority("y" * 64, organization="z" * 64, unit="o" * 64, days_to=60)
    await trust(cloud, owner, ref, sly, long)
    cloud.clock.at = before(sly, days=7)
    (letter,) = await told(cloud)
    lines = letter.text.splitlines()
    assert sum(line.startswith("http") for line in lines) == 1
    assert "\u202e" not in letter.text
    assert max(map(len, lines)) <= SUBJECT_CHARACTERS_MAX + 2


async def test_cas_that_were_trusted_before_the_upgrade_are_told_of(
    new_control_url: str, tmp_path: Path, passwords: Passwords
) -> None:
    at = before(ROOT, days=10)
    engine = open_migration_engine(new_control_url)
    with engine.begin() as connection:
        prepare_migration(connection)
        alembic.command.upgrade(MIGRATIONS.config(connection), "0006")
        fill_tables_of_0006(connection, at)
    engine.dispose()
    await migrate(new_control_url)
    async with open_cloud(new_control_url, tmp_path / "snapshot", passwords) as cloud:
        assert await subjects(cloud, at) == ["A CA of on.acme expires in 10 days"]
        assert await told(cloud) == []
        cloud.clock.at = before(ROOT, days=7)
        assert len(await told(cloud)) == 1


def fill_tables_of_0006(connection: sa.Connection, at: datetime) -> None:
    """An account with namespaces that trust, do not trust yet, and never did."""
    metadata = sa.MetaData()
    metadata.reflect(connection)
    made = {"created_at": at, "account_id": "acme", "resource_version": 1}
    account = {"id": "acme", "name": "", "audit_sequence": 0, "audit_hash": bytes(32)}
    owner = {"id": "ada", "email": OWNER, "password_hash": "", "role": "owner"}
    namespace = {
        **made,
        "generation": 1,
        "cell": "cell-1",
        "region": "local",
        "retention_days": 7,
        "search_attributes": {},
        "is_delete_protected": False,
        "state": "active",
        "updated_at": at,
    }
    rows = [
        ("account", {**account, "created_at": at, "requires_second_factor": False}),
        ("user_login", {**made, **owner}),
        *(
            ("namespace", {**namespace, "id": name, "name": name, "certificate_trust": trust})
            for name, trust in (
                ("on", CertificateTrust(True, ROOT.pem).told()),
                ("off", CertificateTrust(False, ROOT.pem).told()),
                ("none", sa.null()),
            )
        ),
    ]
    for name, row in rows:
        connection.execute(metadata.tables[name].insert(), row)
