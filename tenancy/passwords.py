"""Passwords: what is acceptable, and argon2id in a bounded number of threads."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2

from tenancy.errors import InvalidField, RateLimited
from tenancy.randomness import TokenBytes

PASSWORD_CHARACTERS_MIN = 10
PASSWORD_CHARACTERS_MAX = 128
ARGON2_MEMORY_KIB = 19 * 1024
ARGON2_PASSES = 2
HASHINGS_AT_ONCE_MAX = 2
HASHINGS_WAITING_MAX = 64
SALT_BYTES = 16

Answer = TypeVar("Answer")


def normalized_password(password: str) -> str:
    """The password as it is hashed: NFC, so that two keyboards type the same one."""
    if len(password) <= PASSWORD_CHARACTERS_MAX * 4:
        password = unicodedata.normalize("NFC", password)
    is_text = not any(unicodedata.category(character) == "Cs" for character in password[:1024])
    if not is_text or not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise InvalidField(
            "password",
            f"must have {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters",
            "choose one of that length",
        )
    return password


class Passwords:
    """Hashes and verifies; each hashing takes memory_kib of memory while it runs."""

    def __init__(
        self,
        *,
        token_bytes: TokenBytes,
        memory_kib: int = ARGON2_MEMORY_KIB,
        passes: int = ARGON2_PASSES,
    ) -> None:
        self._token_bytes = token_bytes
        self._hasher = argon2.PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=1, salt_len=SALT_BYTES
        )
        self._threads = ThreadPoolExecutor(HASHINGS_AT_ONCE_MAX, "password")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        salt = self._token_bytes(SALT_BYTES)
        return await self._in_thread(lambda: self._hasher.hash(password, salt=salt))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Takes as long for a user that does not exist (stored is None) as for one that does.

        Nothing matches an empty hash, which stands for no password.
        """
        if not stored:
            await self.hash(password)
            return False
        return await self._in_thread(lambda: self._matches(stored, password))

    def is_outdated(self, stored: str) -> bool:
        """True if the hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        self._threads.shutdown()

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        if self._waiting >= HASHINGS_WAITING_MAX:
            raise RateLimited(retry_after_seconds=1)
        self._waiting += 1
        hashing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        # Counted until the thread is done, not until the caller stops waiting for it.
        hashing.add_done_callback(self._one_done)
        return await asyncio.shield(hashing)

    def _one_done(self, _hashing: object) -> None:
        self._waiting -= 1
