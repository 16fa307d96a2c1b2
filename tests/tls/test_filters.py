from __future__ import annotations

import pytest

from tenancy import CertificateFilter
from tests.tls.pki import address, authority, dns, leaf, uri

ROOT = authority()
WORKER = leaf(
    ROOT,
    common_name="Worker-7",
    organization="Acme GmbH",
    unit="Payments",
    names=[uri("spiffe://acme/worker"), dns("w7.acme.example"), address("10.0.0.7")],
).certificate
NAMELESS = leaf(ROOT, common_name=None, names=[dns("w7.acme.example")]).certificate
HIDDEN = leaf(ROOT, common_name="worker-7\0.evil.example").certificate


@pytest.mark.parametrize(
    "given",
    [
        CertificateFilter(common_name="worker-7"),
        CertificateFilter(common_name="WORKER-*"),
        CertificateFilter(common_name="*-7"),
        CertificateFilter(organization="acme gmbh", organizational_unit="pay*"),
        CertificateFilter(subject_alternative_name="spiffe://acme/*"),
        CertificateFilter(subject_alternative_name="*.acme.example"),
        CertificateFilter(subject_alternative_name="10.0.0.7"),
        CertificateFilter("worker-7", "Acme GmbH", "Payments", "w7.acme.example"),
    ],
)
def test_a_filter_matches_whatever_the_case(given: CertificateFilter) -> None:
    assert given.matches(WORKER)


@pytest.mark.parametrize(
    "given",
    [
        CertificateFilter(common_name="worker"),
        CertificateFilter(common_name="orker-*"),
        CertificateFilter(common_name="*-70"),
        CertificateFilter(common_name="payments"),
        CertificateFilter(common_name="w7.acme.example"),
        CertificateFilter(organization="acme"),
        CertificateFilter(organization="acme*", organizational_unit="shop"),
        CertificateFilter(subject_alternative_name="worker-7"),
        CertificateFilter(subject_alternative_name="spiffe://acme"),
    ],
)
def test_all_that_a_filter_names_must_match(given: CertificateFilter) -> None:
    assert not given.matches(WORKER)


def test_a_certificate_without_the_field_does_not_match() -> None:
    assert not CertificateFilter(common_name="*7").matches(NAMELESS)
    assert not CertificateFilter(subject_alternative_name="w*").matches(HIDDEN)
    assert CertificateFilter(subject_alternative_name="w7*").matches(NAMELESS)


def test_what_stands_after_a_nul_is_part_of_the_name() -> None:
    assert not CertificateFilter(common_name="worker-7").matches(HIDDEN)
