"""What a handler may ask about its caller."""

from __future__ import annotations

from contextvars import ContextVar

import msgspec

TRACE: ContextVar[str] = ContextVar("trace", default="")
"""The `trace` of the call whose decisions are made now."""


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One call, resolved at the door: nothing below it maps names to namespaces again.

    `timeout_seconds` is how long the caller still waits; `principal` names it in audit and logs.
    `trace` is the W3C traceparent of the call's own span, where somebody collects traces.
    Without `may_start` the call may reach runs that there are, and begin none.
    """

    namespace_id: str
    namespace: str
    principal: str = ""
    timeout_seconds: float = 30.0
    trace: str = ""
    may_start: bool = True

    def within(self, seconds: float) -> Call:
        """The same call with less time left."""
        return msgspec.structs.replace(self, timeout_seconds=seconds)

    def without_starts(self) -> Call:
        """The same call, which may begin no run."""
        return msgspec.structs.replace(self, may_start=False)

    def traced(self, trace: str) -> Call:
        """The same call as a part of a trace."""
        return msgspec.structs.replace(self, trace=trace)
