"""Revocation lists are kept, audited and told to the door, on each kind of database."""

from __future__ import annotations

import pytest

from tenancy import (
    CertificateTrust,
    InvalidField,
    NamespaceRef,
    NamespaceSettings,
    NotFound,
    PermissionDenied,
    Principal,
)
from tenancy.certificates import authority_id
from tenancy.roles import Permission
from tests.tenancy.cloud import Cloud
from tests.tls.pki import Identity, authority, leaf, revocation_list

ROOT = authority("Röot")
ID = authority_id(ROOT.certificate)


@pytest.fixture
async def owner(cloud: Cloud) -> Principal:
    cloud.clock.at = ROOT.certificate.not_valid_before_utc
    return await cloud.owner()


@pytest.fixture
async def ref(cloud: Cloud, owner: Principal) -> NamespaceRef:
    control = cloud.control
    settings = NamespaceSettings(certificates=CertificateTrust(True, ROOT.pem))
    async with control.acting(owner) as session:
        made = await control.namespaces.create(session, owner, "orders", settings)
    await control.reconciler.reconcile(cloud.cell)
    async with cloud.database.reading() as session:
        return (await control.namespaces.get(session, owner, made.resource_id)).ref


async def upload(cloud: Cloud, actor: Principal, ref: NamespaceRef, text: str) -> None:
    control = cloud.control
    async with control.acting(actor) as session:
        found = await control.namespaces.get(session, actor, ref.id)
        await control.revocation_lists.upload(session, actor, found, text)


async def revoked(cloud: Cloud, ref: NamespaceRef) -> set[int]:
    """As the door has it."""
    await cloud.control.snapshot.refresh()
    told = cloud.control.snapshot.trust(ref.full_name)
    assert told is not None
    return set(told.revoked.get(ID, ()))


def serials(*those: Identity) -> set[int]:
    return {each.certificate.serial_number for each in those}


async def test_a_list_reaches_the_door_and_leaves_a_record(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    first, second = leaf(ROOT), leaf(ROOT)
    before = await cloud.audit_count(owner.account_id)
    await upload(cloud, owner, ref, revocation_list(ROOT, first, days_from=-2))
    assert await revoked(cloud, ref) == serials(first)
    await upload(cloud, owner, ref, revocation_list(ROOT, first, second))
    assert await revoked(cloud, ref) == serials(first, second)
    with pytest.raises(InvalidField, match="is older than the one that is there"):
        await upload(cloud, owner, ref, revocation_list(ROOT, days_from=-2))
    control = cloud.control
    for _ in range(2):
        async with control.acting(owner) as session:
            found = await control.namespaces.get(session, owner, ref.id)
            if await control.revocation_lists.of(session, found):
                await control.revocation_lists.remove(session, owner, found, ID)
                continue
            with pytest.raises(NotFound):
                await control.revocation_lists.remove(session, owner, found, ID)
    assert await revoked(cloud, ref) == set()
    assert await cloud.audit_count(owner.account_id) == before + 3


async def test_who_does_not_administer_a_namespace_uploads_no_list(
    cloud: Cloud, owner: Principal, ref: NamespaceRef
) -> None:
    key = await cloud.key_in(owner, ref, Permission.WRITE)
    await cloud.control.snapshot.refresh()
    writer = cloud.control.snapshot.authenticate(key.text)
    with pytest.raises(PermissionDenied):
        await upload(cloud, writer, ref, revocation_list(ROOT, leaf(ROOT)))
    assert await revoked(cloud, ref) == set()
