"""What a revocation list must be before a namespace goes by it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from tenancy.certificate_upload import HASHES
from tenancy.certificates import UNREADABLE, authority_id, shown_subject
from tenancy.errors import InvalidField

LIST_FIELD = "revocation_list"
LIST_CHARACTERS_MAX = 48 * 1024
AHEAD_SECONDS_MAX = 3_600
"""How far the clock of a CA may be ahead of ours."""

_KIND = "X509 CRL"
_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_BLOCK = re.compile(rf"-----BEGIN {_KIND}-----[A-Za-z0-9+/=\s]*-----END {_KIND}-----")


@dataclass(frozen=True, slots=True)
class ReadList:
    """`authority` is the `authority_id` of the CA that revoked certificates of these numbers;
    without `next_at` the CA does not say when it will tell more.
    """

    authority: str
    issuer: str
    issued_at: datetime
    next_at: datetime | None
    serials: frozenset[int]


def read_list(text: str, authorities: Sequence[x509.Certificate], at: datetime) -> ReadList:
    """One list in PEM, signed by one of these CAs and still current; raises InvalidField."""
    if len(text) > LIST_CHARACTERS_MAX:
        raise _refused(
            f"has more than {LIST_CHARACTERS_MAX} characters",
            "have the CA leave out what has expired, or replace the CA",
        )
    block = _BLOCK.search(text)
    if block is None or len(_BEGIN.findall(text)) != 1:
        raise _refused(
            f"is not one PEM text between -----BEGIN {_KIND}----- and -----END {_KIND}-----",
            "convert DER by `openssl crl -inform der`, and upload the list of each CA by itself",
        )
    try:
        found = x509.load_pem_x509_crl(block[0].encode())
        authority = _issuer(found, authorities)
        _check_whole(found)
        serials = frozenset(each.serial_number for each in found)
        issued_at, next_at = found.last_update_utc, found.next_update_utc
    except UNREADABLE:
        raise _refused("cannot be read", "copy it again, whole") from None
    _check_times(issued_at, next_at, at)
    return ReadList(authority_id(authority), shown_subject(authority), issued_at, next_at, serials)


def _issuer(
    found: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate]
) -> x509.Certificate:
    """The CA of the bundle that signed it."""
    if not isinstance(found.signature_hash_algorithm, HASHES):
        raise _refused("is not signed with SHA-256 or better", "have the CA sign it so")
    named = [each for each in authorities if each.subject == found.issuer]
    if not named:
        raise _refused(
            "is of no CA of this namespace", "upload lists of the CAs that the bundle has"
        )
    for each in named:
        # No key of a bundle is of a kind that this call does not take.
        if found.is_signature_valid(each.public_key()):  # type: ignore[arg-type]
            _check_may_sign(each)
            return each
    raise _refused(
        "bears the name of a CA of this namespace, which did not sign it",
        "get it from the CA itself",
    )


def _check_may_sign(authority: x509.Certificate) -> None:
    try:
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.crl_sign:
        raise _refused(
            "is of a CA that may not sign such lists (key usage)", "issue the CA with cRLSign"
        )


def _check_whole(found: x509.CertificateRevocationList) -> None:
    """A part of what is revoked, taken for the whole, would let the rest in again."""
    for extension in found.extensions:
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            if _is_part(extension.value):
                raise _refused("tells of some certificates only", "upload the full list of the CA")
        elif isinstance(extension.value, x509.DeltaCRLIndicator):
            raise _refused("only tells what changed", "upload the full list of the CA")
        elif extension.critical:
            raise _refused(
                f"has a critical extension that is not known here ({extension.oid.dotted_string})",
                "have the CA leave it out",
            )
    for each in found:
        if any(isinstance(it.value, x509.CertificateIssuer) for it in each.extensions):
            raise _refused("tells of certificates of other CAs", "upload the list of each CA")


def _is_part(point: x509.IssuingDistributionPoint) -> bool:
    return (
        point.only_contains_user_certs
        or point.only_contains_ca_certs
        or point.only_contains_attribute_certs
        or point.indirect_crl
        or point.only_some_reasons is not None
    )


def _check_times(issued_at: datetime, next_at: datetime | None, at: datetime) -> None:
    if issued_at > at + timedelta(seconds=AHEAD_SECONDS_MAX):
        raise _refused(
            f"is issued in the future, at {issued_at:%Y-%m-%d %H:%M} UTC",
            "set the clock of the CA right",
        )
    if next_at is not None and next_at <= at:
        raise _refused(
            f"was due to be replaced on {next_at:%Y-%m-%d %H:%M} UTC", "upload its successor"
        )


def _refused(limit: str, remedy: str) -> InvalidField:
    return InvalidField(LIST_FIELD, limit, remedy)
