"""Which workflow the current code belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from perdure.exceptions import NotInContextError
from perdure.runtime.loop import ENTERED, WorkflowLoop

if TYPE_CHECKING:
    from perdure.runtime.instance import WorkflowInstance


def current_or_none() -> WorkflowInstance | None:
    """The instance whose code runs in this thread."""
    if not ENTERED:
        # Whatever reads a clock in the whole process comes by here, and asking for the loop asks
        # the system for the process.
        return None
    loop: Any = asyncio._get_running_loop()
    return cast("WorkflowInstance", loop.host) if type(loop) is WorkflowLoop else None


def current() -> WorkflowInstance:
    """The instance whose code runs in this thread; raises NotInContextError."""
    instance = current_or_none()
    if instance is None:
        raise NotInContextError("not in workflow code")
    return instance
