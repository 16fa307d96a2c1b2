"""What a namespace trusts of certificates is stored, audited and told to the door."""

from __future__ import annotations

import pytest

from tenancy import CertificateFilter, CertificateTrust, NamespaceSettings, PermissionDenied
from tenancy.roles import Permission
from tests.tenancy.cloud import Cloud
from tests.tls.pki import authority

FINGERPRINT = "ab" * 32


async def test_a_change_of_trust_reaches_the_door_and_leaves_a_record(cloud: Cloud) -> None:
    root = authority("Röot")
    cloud.clock.at = root.certificate.not_valid_before_utc
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    control = cloud.control
    await control.snapshot.refresh()
    assert control.snapshot.trust(ref.full_name) is None
    wanted = CertificateTrust(True, root.pem, (CertificateFilter(common_name="wörker-*"),))
    before = await cloud.audit_count(owner.account_id)
    async with control.acting(owner) as session:
        settings = NamespaceSettings(certificates=wanted)
        found = await control.namespaces.get(session, owner, ref.id)
        version = found.resource_version
        await control.namespaces.update(session, owner, ref.id, settings, resource_version=version)
    async with control.acting(owner) as session:
        found = await control.namespaces.get(session, owner, ref.id)
        await control.denied_certificates.deny(session, owner, found, FINGERPRINT)
    assert await cloud.audit_count(owner.account_id) == before + 2
    await control.snapshot.refresh()
    told = control.snapshot.trust(ref.full_name)
    assert told is not None
    assert (told.namespace, told.trust, told.denied) == (ref, wanted, frozenset({FINGERPRINT}))
    async with control.acting(owner) as session:
        found = await control.namespaces.get(session, owner, ref.id)
        await control.denied_certificates.allow(session, owner, found, FINGERPRINT)
    await control.snapshot.refresh()
    told = control.snapshot.trust(ref.full_name)
    assert told is not None
    assert told.denied == frozenset()


async def test_who_does_not_administer_a_namespace_denies_nothing_in_it(cloud: Cloud) -> None:
    owner = await cloud.owner()
    ref = await cloud.namespace(owner)
    key = await cloud.key_in(owner, ref, Permission.WRITE)
    await cloud.control.snapshot.refresh()
    writer = cloud.control.snapshot.authenticate(key.text)
    control = cloud.control

    async def deny() -> None:
        async with control.acting(writer) as session:
            found = await control.namespaces.get(session, writer, ref.id)
            await control.denied_certificates.deny(session, writer, found, FINGERPRINT)

    with pytest.raises(PermissionDenied):
        await deny()
