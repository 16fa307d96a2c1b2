"""Ids and secrets from injected randomness, and keys derived from the installation's pepper."""

from __future__ import annotations

import base64
import hmac
import uuid
from collections.abc import Callable
from datetime import datetime

Now = Callable[[], datetime]
"""Returns the present as an aware UTC datetime."""

TokenBytes = Callable[[int], bytes]
"""Returns that many unpredictable bytes."""

ACCOUNT_ID_CHARACTERS = 6
KEY_ID_CHARACTERS = 16


def new_uuid(token_bytes: TokenBytes) -> str:
    return str(uuid.UUID(bytes=token_bytes(16), version=4))


def new_account_id(token_bytes: TokenBytes) -> str:
    """Six characters of lower-case base32: a label in host names, so it stays short."""
    return _base32(token_bytes(5))[:ACCOUNT_ID_CHARACTERS]


def new_key_id(token_bytes: TokenBytes) -> str:
    return _base32(token_bytes(10))


def new_secret(token_bytes: TokenBytes) -> str:
    """256 bits as 43 characters of base64url."""
    return base64.urlsafe_b64encode(token_bytes(32)).rstrip(b"=").decode()


def derived_key(pepper: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose, so that no two uses of the pepper share a key."""
    return hmac.digest(pepper, b"perdure tenancy " + purpose.encode(), "sha256")


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().lower().rstrip("=")
