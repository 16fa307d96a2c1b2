"""Sealed tokens: opaque to clients, bound to their purpose, readable across restarts.

AES-256-GCM under a ring of keys: the newest seals, all open. There is no expiry, so that a
completion survives a restart of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class UnsealError(Exception):
    """The token was not sealed here, or for another purpose."""


class Sealer:
    """Seals under `keys[active]`; a key id is one byte at the front of the token."""

    def __init__(
        self, keys: Mapping[int, bytes], active: int, token_bytes: Callable[[int], bytes]
    ) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._active = active
        self._token_bytes = token_bytes

    def seal(self, purpose: bytes, content: bytes) -> bytes:
        nonce = self._token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._active].encrypt(nonce, content, purpose)
        return bytes((self._active,)) + nonce + sealed

    def unseal(self, purpose: bytes, token: bytes) -> bytes:
        cipher = self._ciphers.get(token[0]) if token else None
        if cipher is None or len(token) <= NONCE_BYTES:
            raise UnsealError
        try:
            return cipher.decrypt(token[1 : 1 + NONCE_BYTES], token[1 + NONCE_BYTES :], purpose)
        except InvalidTag:
            raise UnsealError from None
