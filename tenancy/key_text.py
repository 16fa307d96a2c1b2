"""The text of an API key: `prd_<key id>_<secret><checksum>`, and how it is stored."""

from __future__ import annotations

import hmac
import re
import zlib

from tenancy.errors import Unauthenticated, UnauthenticatedReason
from tenancy.randomness import derived_key

KEY_PREFIX = "prd_"
"""Lets secret scanners find a leaked key, and the checksum lets them trust the find."""

_KEY = re.compile(r"(prd_([a-z2-7]{16})_[A-Za-z0-9_-]{43})([0-9a-f]{8})", re.ASCII)


def key_text(key_id: str, secret: str) -> str:
    signed = f"{KEY_PREFIX}{key_id}_{secret}"
    return signed + _checksum(signed)


class KeyDigests:
    """A fast keyed digest: the secret has 256 random bits, so slowness would add nothing."""

    def __init__(self, pepper: bytes) -> None:
        self._key = derived_key(pepper, "api key")

    def parse(self, text: str) -> tuple[str, bytes]:
        """The key id and the digest of the whole key; raises Unauthenticated if malformed."""
        match = _KEY.fullmatch(text)
        if match is None or _checksum(match[1]) != match[3]:
            raise Unauthenticated(UnauthenticatedReason.MALFORMED_KEY)
        return match[2], hmac.digest(self._key, text.encode(), "sha256")


def _checksum(signed: str) -> str:
    return f"{zlib.crc32(signed.encode()):08x}"
