"""Judges a client certificate by what its namespace trusts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from tenancy.certificates import (
    UNREADABLE,
    NamespaceTrust,
    authority_id,
    fingerprint,
    has_good_key,
    is_issued,
)
from tenancy.errors import Unauthenticated, UnauthenticatedReason
from tenancy.roles import Permission, Principal, PrincipalKind

CHAIN_CERTIFICATES_MAX = 8
"""How many certificates a client may present, its own included."""

INTERMEDIATES_MAX = 3
"""How many may stand between a client's certificate and a CA of the bundle."""

NAMESPACES_READY_MAX = 1_000


class Accepted(NamedTuple):
    """`until` is when the first certificate of the chain expires."""

    principal: Principal
    until: datetime


def accept(told: NamespaceTrust, chain: Sequence[bytes], at: datetime) -> Accepted:
    """Who presents this chain, the leaf first, each in DER. Raises Unauthenticated."""
    if not 1 <= len(chain) <= CHAIN_CERTIFICATES_MAX:
        raise Unauthenticated(UnauthenticatedReason.UNTRUSTED_CERTIFICATE)
    try:
        leaf, *intermediates = map(x509.load_der_x509_certificate, chain)
        verified = (
            PolicyBuilder()
            .store(_store(told.trust.authorities))
            .time(at)
            .max_chain_depth(INTERMEDIATES_MAX)
            .extension_policies(ca_policy=_OF_AUTHORITIES, ee_policy=_OF_LEAVES)
            .build_client_verifier()
            .verify(leaf, [each for each in intermediates if each != leaf])
        )
        if not all(map(has_good_key, verified.chain)):
            raise Unauthenticated(UnauthenticatedReason.UNTRUSTED_CERTIFICATE)
        is_wanted = not told.trust.filters or any(it.matches(leaf) for it in told.trust.filters)
    except (VerificationError, *UNREADABLE):
        raise Unauthenticated(UnauthenticatedReason.UNTRUSTED_CERTIFICATE) from None
    id = fingerprint(leaf)
    if not told.denied.isdisjoint({id, *map(fingerprint, verified.chain)}):
        raise Unauthenticated(UnauthenticatedReason.DENIED_CERTIFICATE)
    if told.revoked and _is_revoked(told, verified.chain):
        raise Unauthenticated(UnauthenticatedReason.REVOKED_CERTIFICATE)
    if not is_wanted:
        raise Unauthenticated(UnauthenticatedReason.UNWANTED_CERTIFICATE)
    namespace = told.namespace
    principal = Principal(
        PrincipalKind.CERTIFICATE,
        id,
        namespace.account_id,
        grants={namespace.id: Permission.WRITE},
    )
    return Accepted(principal, min(each.not_valid_after_utc for each in verified.chain))


def _is_revoked(told: NamespaceTrust, chain: Sequence[x509.Certificate]) -> bool:
    """Whether any of the chain is, up to a root: it ends at the first that the bundle has."""
    path, bundle = list(chain), told.trust.certificates
    while not is_issued(path[-1], path[-1]):
        above = [each for each in bundle if is_issued(path[-1], each)]
        if not above or above[0] in path:
            break
        path.append(above[0])
    return any(
        each.serial_number in told.revoked.get(authority_id(issuer), ())
        for each, issuer in pairwise(path)
    )


@lru_cache(NAMESPACES_READY_MAX)
def _store(authorities: str) -> Store:
    return Store(x509.load_pem_x509_certificates(authorities.encode()))


def _is_authority(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("is no CA")


def _may_sign(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("may not sign certificates")


def _is_leaf(_: Policy, __: x509.Certificate, it: x509.BasicConstraints | None) -> None:
    if it is not None and it.ca:
        raise ValueError("is a CA")


def _may_authenticate(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.digital_signature:
        raise ValueError("may not sign a handshake")


def _is_for_clients(_: Policy, __: x509.Certificate, it: x509.ExtendedKeyUsage | None) -> None:
    if it is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in it:
        raise ValueError("is not for clients")


# The rules of the public web ask for more, a subject alternative name for one, than private CAs
# put into their certificates; what is left out must not be wrong where it is there.
_OF_AUTHORITIES = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_authority)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
)
_OF_LEAVES = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_leaf)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_authenticate)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _is_for_clients)
)
