"""AES-256-GCM payload encryption with key ids and rotation (extra ``perdure[encryption]``)."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from perdure.codec import PayloadCodec
from perdure.exceptions import DecryptionError
from perdure.protojson import Message

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
_ENCODING = b64encode(b"binary/encrypted").decode()


class AesGcmCodec(PayloadCodec):
    """Encrypts with the active key and decrypts with whichever key a payload names.

    To rotate: give every worker and client the new key, then make it active, and drop the old one
    when no history holds it any more. The key id is authenticated, and visible to the server.
    """

    def __init__(self, keys: Mapping[str, bytes], active_key_id: str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if active_key_id not in keys:
            raise ValueError(f"active key id {active_key_id!r} is not among the keys")
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES:
                raise ValueError(f"key {key_id!r} has {len(key)} bytes, needs {KEY_BYTES}")
        self._ciphers: dict[str, AESGCM] = {name: AESGCM(key) for name, key in keys.items()}
        self._active_key_id = active_key_id

    async def encode(self, payloads: Sequence[Message]) -> list[Message]:
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Message]) -> list[Message]:
        return [
            self._decrypt(payload) if payload["metadata"]["encoding"] == _ENCODING else payload
            for payload in payloads
        ]

    def _encrypt(self, payload: Message) -> Message:
        key_id = self._active_key_id.encode()
        # A fresh nonce for every payload: reuse under one key would break the cipher.
        nonce = os.urandom(NONCE_BYTES)
        clear = json.dumps(payload, separators=(",", ":")).encode()
        sealed = self._ciphers[self._active_key_id].encrypt(nonce, clear, key_id)
        return {
            "metadata": {"encoding": _ENCODING, "encryption-key-id": b64encode(key_id).decode()},
            "data": b64encode(nonce + sealed).decode(),
        }

    def _decrypt(self, payload: Message) -> Message:
        from cryptography.exceptions import InvalidTag

        key_id = b64decode(payload["metadata"].get("encryption-key-id", ""))
        cipher = self._ciphers.get(key_id.decode(errors="replace"))
        if cipher is None:
            raise DecryptionError(f"no key with id {key_id!r}; add it to the codec's keys")
        sealed = b64decode(payload.get("data", ""))
        try:
            clear = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key_id)
        except (InvalidTag, ValueError) as error:
            raise DecryptionError(f"payload was not sealed with key {key_id!r}") from error
        result: Message = json.loads(clear)
        return result
