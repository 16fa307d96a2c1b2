"""The event loop of every process of the cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import uvloop


def run(work: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
