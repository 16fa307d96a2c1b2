"""What the parts of the stand-in share: its store, its clock, new ids, telling of events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from billing.stand_in.refusal import missing
from billing.stand_in.store import Object, Store

ID_BYTES = 12


class StandInDesk:
    """`told` is set when an event waits for its taker."""

    def __init__(
        self, store: Store, now: Callable[[], datetime], token_bytes: Callable[[int], bytes]
    ) -> None:
        self.store = store
        self.now = now
        self._token_bytes = token_bytes
        self.told = asyncio.Event()

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._token_bytes(ID_BYTES).hex()}"

    def make(self, prefix: str, kind: str, **fields: Any) -> Object:
        made = {
            "id": self.new_id(prefix),
            "object": kind,
            "created": self.seconds(),
            "livemode": False,
            **fields,
        }
        self.store.keep(made)
        return made

    def get(self, kind: str, id: str) -> Object:
        """Raises Refusal."""
        found = self.store.find(id)
        if found is None or found["object"] != kind:
            raise missing(kind, id)
        return found

    def tell(self, kind: str, about: Object) -> None:
        event = {
            "id": self.new_id("evt"),
            "object": "event",
            "created": self.seconds(),
            "livemode": False,
            "type": kind,
            "data": {"object": about},
        }
        self.store.tell(event, self.now())
        self.told.set()

    def seconds(self) -> int:
        return int(self.now().timestamp())
