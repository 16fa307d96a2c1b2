"""Secrets that must be readable again, sealed at rest under a key of one purpose."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tenancy.errors import SealBroken
from tenancy.randomness import TokenBytes

VERSION = b"\x01"
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_BYTES = 32


class Sealer:
    """AES-256-GCM. `context` says what the secret is and whose, such as `totp <user id>`: a sealed
    value that is put in another's place does not open there.
    """

    def __init__(self, secret: bytes, *, purpose: str, token_bytes: TokenBytes) -> None:
        label = b"perdure sealing " + purpose.encode()
        derivation = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=label)
        self._cipher = AESGCM(derivation.derive(secret))
        self._token_bytes = token_bytes

    def seal(self, plain: bytes, *, context: str) -> bytes:
        nonce = self._token_bytes(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, plain, context.encode())

    def unseal(self, sealed: bytes, *, context: str) -> bytes:
        """Raises SealBroken if it was changed, moved, or sealed by another installation."""
        start = len(VERSION) + NONCE_BYTES
        if not sealed.startswith(VERSION) or len(sealed) < start + TAG_BYTES:
            raise SealBroken
        nonce = sealed[len(VERSION) : start]
        try:
            return self._cipher.decrypt(nonce, sealed[start:], context.encode())
        except InvalidTag:
            raise SealBroken from None
