"""Which workflow the current code belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from perdure.exceptions import NotInContextError
from perdure.runtime.loop import WorkflowLoop

if TYPE_CHECKING:
    from perdure.runtime.instance import WorkflowInstance


def current_or_none() -> WorkflowInstance | None:
    """The instance whose code runs in this thread."""
    loop: Any = asyncio._get_running_loop()
    return cast("WorkflowInstance", loop.host) if type(loop) is WorkflowLoop else None


def current() -> WorkflowInstance:
    """The instance whose code runs in this thread; raises NotInContextError."""
    instance = current_or_none()
    if instance is None:
        raise NotInContextError("not in workflow code")
    return instance
