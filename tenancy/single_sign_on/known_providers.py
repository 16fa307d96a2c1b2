"""What is remembered of identity providers for some time: configurations and keys."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tenancy.outgoing import Outgoing
from tenancy.randomness import Now
from tenancy.single_sign_on.documents import Document, document
from tenancy.single_sign_on.keys import Key, Signature, find_key, read_keys
from tenancy.single_sign_on.metadata import ProviderMetadata, discover

REMEMBERED_SECONDS_MAX = 60 * 60
REFETCH_SECONDS_MIN = 30
"""How often a key id that is not known has the keys fetched again, at most."""

PROVIDERS_MAX = 1_000


@dataclass
class _Known:
    metadata: ProviderMetadata | None = None
    metadata_at: datetime | None = None
    keys: list[Document] = field(default_factory=list)
    keys_at: datetime | None = None
    keys_asked_at: datetime | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class KnownProviders:
    """One question at a time goes to a provider, so that who waits for its answer shares it."""

    def __init__(self, *, outgoing: Outgoing, now: Now) -> None:
        self._outgoing = outgoing
        self._now = now
        self._known: dict[str, _Known] = {}

    async def metadata(self, issuer: str) -> ProviderMetadata:
        """Raises SignOnRefused."""
        known = self._of(issuer)
        async with known.asking:
            if known.metadata is None or self._is_older(known.metadata_at, REMEMBERED_SECONDS_MAX):
                known.metadata = await discover(self._outgoing, issuer)
                known.metadata_at = self._now()
            return known.metadata

    async def key(self, metadata: ProviderMetadata, signature: Signature) -> Key | None:
        """None if the provider does not publish the key. Raises SignOnRefused.

        A provider changes its keys when it likes: one that is not known is asked for once more.
        """
        known = self._of(metadata.issuer)
        async with known.asking:
            is_outdated = self._is_older(known.keys_at, REMEMBERED_SECONDS_MAX)
            found = None if is_outdated else find_key(known.keys, signature)
            if found is None and self._is_older(known.keys_asked_at, REFETCH_SECONDS_MIN):
                await self._fetch_keys(known, metadata)
                found = find_key(known.keys, signature)
            return found

    def forget(self, issuer: str) -> None:
        """Asks again: an owner has changed something on either side."""
        self._known.pop(issuer, None)

    async def _fetch_keys(self, known: _Known, metadata: ProviderMetadata) -> None:
        # A provider that fails is asked no more often than one that answers.
        known.keys_asked_at = self._now()
        known.keys = read_keys(await document(self._outgoing, metadata.jwks_uri, "the key set"))
        known.keys_at = known.keys_asked_at

    def _of(self, issuer: str) -> _Known:
        if issuer not in self._known and len(self._known) >= PROVIDERS_MAX:
            self._known.pop(next(iter(self._known)))
        return self._known.setdefault(issuer, _Known())

    def _is_older(self, at: datetime | None, seconds: int) -> bool:
        return at is None or self._now() - at >= timedelta(seconds=seconds)
