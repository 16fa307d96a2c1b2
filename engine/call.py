"""What a handler may ask about its caller."""

from __future__ import annotations

import msgspec


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One call, resolved at the door: nothing below it maps names to namespaces again.

    `timeout_seconds` is how long the caller still waits; `principal` names it in audit and logs.
    """

    namespace_id: str
    namespace: str
    principal: str = ""
    timeout_seconds: float = 30.0

    def within(self, seconds: float) -> Call:
        """The same call with less time left."""
        return msgspec.structs.replace(self, timeout_seconds=seconds)
