"""A provider's published keys, and which of them a signature says it was made with."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from tenancy.single_sign_on.documents import Document
from tenancy.single_sign_on.errors import SignOnProblem, SignOnRefused

KEYS_MAX = 100
RSA_BITS_MIN = 2_048
RSA_BITS_MAX = 8_192
"""Larger ones would only cost time at each log-in."""

CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}

Key = RSAKey | ECKey

_PARTS = ("kty", "n", "e", "crv", "x", "y")


@dataclass(frozen=True, slots=True)
class Signature:
    """What the head of a signed token says of its signature."""

    algorithm: str
    key_id: str | None


def read_keys(told: Document) -> list[Document]:
    """The keys of a key set, as they were sent; raises SignOnRefused."""
    keys = told.get("keys")
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise SignOnRefused(SignOnProblem.DOCUMENT_MALFORMED, "the key set has no list of keys")
    if len(keys) > KEYS_MAX:
        raise SignOnRefused(SignOnProblem.DOCUMENT_TOO_LARGE, f"more than {KEYS_MAX} keys")
    return keys


def find_key(keys: list[Document], signature: Signature) -> Key | None:
    """None if no key is meant. Raises SignOnRefused if the one that is cannot have signed this.

    Without a key id, a key is meant only where just one fits.
    """
    if signature.key_id is None:
        fitting = list(_fitting(keys, signature.algorithm))
        return _read(fitting[0], signature.algorithm) if len(fitting) == 1 else None
    named = [each for each in keys if each.get("kid") == signature.key_id]
    if not named:
        return None
    fitting = list(_fitting(named, signature.algorithm))
    if len(fitting) != 1:
        raise SignOnRefused(SignOnProblem.KEY_UNFIT)
    return _read(fitting[0], signature.algorithm)


def _fitting(keys: list[Document], algorithm: str) -> Iterator[Document]:
    for key in keys:
        kind = "EC" if algorithm in CURVES else "RSA"
        is_for_it = key.get("alg", algorithm) == algorithm and key.get("use", "sig") == "sig"
        if key.get("kty") == kind and is_for_it and key.get("crv") == CURVES.get(algorithm):
            yield key


def _read(told: Document, algorithm: str) -> Key:
    public: Document = {name: told[name] for name in _PARTS if name in told}
    try:
        if algorithm in CURVES:
            return ECKey.import_key(public)
        if RSA_BITS_MIN <= _bits(public["n"]) <= RSA_BITS_MAX:
            return RSAKey.import_key(public)
    except (JoseError, ValueError, TypeError, KeyError):
        pass
    raise SignOnRefused(SignOnProblem.KEY_UNFIT)


def _bits(number: str) -> int:
    padded = number + "=" * (-len(number) % 4)
    return int.from_bytes(base64.urlsafe_b64decode(padded)).bit_length()
