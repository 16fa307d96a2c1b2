"""The ID token: what must hold before a word of it is believed."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime

from authlib.oidc.core.util import create_half_hash
from joserfc import jws
from joserfc.errors import JoseError

from tenancy.single_sign_on.documents import Document, read_object
from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused
from tenancy.single_sign_on.keys import Key, Signature
from tenancy.single_sign_on.tables import SUBJECT_CHARACTERS_MAX

LEEWAY_SECONDS = 60
"""How far clocks may be apart."""

TIME_SECONDS_MAX = 1_000_000_000_000
"""Beyond all years that a calendar has."""

KEY_ID_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must be about."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str | None
    at: datetime


def signature_of(token: str, algorithms: frozenset[str]) -> Signature:
    """What the token's head says; raises SignOnRefused for algorithms that are not among these."""
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise SignOnRefused(SignOnProblem.ID_TOKEN_MALFORMED)
    head = _part(parts[0])
    algorithm, key_id, kind = head.get("alg"), head.get("kid"), head.get("typ", "JWT")
    if algorithm not in algorithms:
        raise SignOnRefused(SignOnProblem.ALGORITHM_REFUSED)
    assert isinstance(algorithm, str), "it is one of ours"
    if not isinstance(kind, str) or kind.upper() != "JWT" or "crit" in head:
        # Other kinds of token, such as access tokens, are signed by the same key.
        raise SignOnRefused(SignOnProblem.ID_TOKEN_MALFORMED)
    is_key_id = isinstance(key_id, str) and 0 < len(key_id) <= KEY_ID_CHARACTERS_MAX
    if key_id is not None and not is_key_id:
        raise SignOnRefused(SignOnProblem.ID_TOKEN_MALFORMED)
    return Signature(algorithm, key_id)


def verified_claims(token: str, signature: Signature, key: Key, expected: Expected) -> Document:
    """The claims of a token that is the provider's, for us, of now and of this log-in.

    Raises SignOnRefused.
    """
    try:
        found = jws.deserialize_compact(token, key, algorithms=[signature.algorithm])
    except (JoseError, ValueError):
        raise SignOnRefused(SignOnProblem.SIGNATURE_WRONG) from None
    claims = read_object(found.payload, "the ID token")
    if claims.get("iss") != expected.issuer:
        raise SignOnRefused(SignOnProblem.ISSUER_WRONG)
    _check_audience(claims, expected.client_id)
    _check_times(claims, expected.at.timestamp())
    nonce = claims.get("nonce")
    if nonce is None:
        raise SignOnRefused(SignOnProblem.NONCE_MISSING)
    if not isinstance(nonce, str) or not _is_same(nonce, expected.nonce):
        raise SignOnRefused(SignOnProblem.NONCE_WRONG)
    subject = claims.get("sub")
    is_text = isinstance(subject, str) and subject.isascii() and subject.isprintable()
    if not is_text or not 0 < len(str(subject)) <= SUBJECT_CHARACTERS_MAX:
        raise SignOnRefused(SignOnProblem.SUBJECT_MISSING)
    _check_access_token(claims, signature.algorithm, expected.access_token)
    return claims


def _check_audience(claims: Document, client_id: str) -> None:
    """We are meant, and where others are meant too, it was given to us."""
    told = claims.get("aud")
    audiences = told if isinstance(told, list) else [told]
    if client_id not in audiences:
        raise SignOnRefused(SignOnProblem.AUDIENCE_WRONG)
    party = claims.get("azp", client_id if len(audiences) == 1 else None)
    if party != client_id:
        raise SignOnRefused(SignOnProblem.AUTHORIZED_PARTY_WRONG)


def _check_times(claims: Document, at: float) -> None:
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    begins = _time(claims, "nbf") if "nbf" in claims else issued
    if expires + LEEWAY_SECONDS <= at:
        raise SignOnRefused(SignOnProblem.EXPIRED)
    if issued - LEEWAY_SECONDS > at:
        raise SignOnRefused(SignOnProblem.ISSUED_IN_FUTURE)
    if begins - LEEWAY_SECONDS > at:
        raise SignOnRefused(SignOnProblem.NOT_YET_VALID)


def _time(claims: Document, name: str) -> float:
    told = claims.get(name)
    is_number = isinstance(told, int | float) and not isinstance(told, bool)
    at = float(told) if is_number and told is not None and told < TIME_SECONDS_MAX else -1.0
    if at < 0:
        raise SignOnRefused(SignOnProblem.TIME_MISSING, name)
    return at


def _check_access_token(claims: Document, algorithm: str, access_token: str | None) -> None:
    told = claims.get("at_hash")
    if told is None or access_token is None:
        return
    half = create_half_hash(access_token, algorithm).decode()
    if not isinstance(told, str) or not _is_same(told, half):
        raise SignOnRefused(SignOnProblem.ACCESS_TOKEN_WRONG)


def _part(text: str) -> Document:
    try:
        return read_object(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "")
    except (ValueError, SignOnRefused):
        raise SignOnRefused(SignOnProblem.ID_TOKEN_MALFORMED) from None


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
