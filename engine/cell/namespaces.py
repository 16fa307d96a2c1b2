"""The namespaces of the cell, as every node remembers them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from engine.env import Env
from engine.errors import NamespaceNotFound, StoreError
from engine.persistence.protocols import NamespaceRow, Store

log = logging.getLogger(__name__)

DEFAULT_RETENTION_SECONDS = 3 * 86_400
RELOAD_SECONDS_MIN = 0.5
RELOAD_SECONDS_MAX = 30.0
"""How long a node may not know of a change whose announcement it missed."""


class NamespaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine needs to know of a namespace. `search_attributes` maps names to types."""

    retention_seconds: int = DEFAULT_RETENTION_SECONDS
    search_attributes: dict[str, str] = {}
    description: str = ""
    owner_email: str = ""
    created_at_ns: int = 0
    deleted: bool = False


class Namespace(msgspec.Struct, frozen=True):
    """One namespace with its settings."""

    namespace_id: str
    name: str
    settings: NamespaceSettings


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(NamespaceSettings)


class Namespaces:
    """Read from the store when an unknown one is asked for, when another node changed one, and
    now and then."""

    def __init__(self, env: Env, store: Store, announce: Callable[[], None]) -> None:
        self.changed: Callable[[], None] = lambda: None
        """Called when one may have been put or deleted, here or elsewhere."""
        self.announce = announce
        """Has the other nodes read all of them again."""
        self._env = env
        self._store = store
        self._by_id: dict[str, Namespace] = {}
        self._looking = asyncio.Lock()
        self._look_after = 0.0

    async def get(self, namespace_id: str) -> Namespace:
        """Raises NamespaceNotFound."""
        if namespace_id not in self._by_id:
            await self._look_for(namespace_id)
        found = self._by_id.get(namespace_id)
        if found is None or found.settings.deleted:
            raise NamespaceNotFound(namespace_id=namespace_id)
        return found

    async def _look_for(self, namespace_id: str) -> None:
        async with self._looking:
            # Asking again and again for one that is missing must not ask the store each time. A
            # look that failed has found nothing missing.
            if namespace_id in self._by_id or self._env.monotonic() < self._look_after:
                return
            await self.reload()
            self._look_after = self._env.monotonic() + RELOAD_SECONDS_MIN

    def known(self, namespace_id: str) -> Namespace | None:
        """The namespace as remembered, without asking the store."""
        return self._by_id.get(namespace_id)

    def deleted_ids(self) -> set[str]:
        """The namespaces that do not exist any more, as remembered."""
        return {name for name, known in self._by_id.items() if known.settings.deleted}

    async def reload(self) -> None:
        for row in await self._store.namespaces():
            settings = _decoder.decode(row.blob)
            self._by_id[row.namespace_id] = Namespace(row.namespace_id, row.name, settings)
        self.changed()

    async def keep_fresh(self) -> None:
        """Read them again for ever: an announcement may be lost, or die with its node."""
        while True:
            await self._env.sleep(RELOAD_SECONDS_MAX)
            try:
                await self.reload()
            except StoreError as error:
                log.info("namespaces_not_read", extra={"why": str(error)})

    async def put(self, namespace: Namespace) -> None:
        """Make it durable, remember it, and have the other nodes read it."""
        blob = _encoder.encode(namespace.settings)
        await self._store.put_namespace(NamespaceRow(namespace.namespace_id, namespace.name, blob))
        self._by_id[namespace.namespace_id] = namespace
        self.changed()
        self.announce()
