"""What a refusal rests on: the runs that a call has looked at.

A refusal is final to its caller, so it may leave only when what it was decided on is durable.
Answers wait in their handlers, which know what they tell; refusals come from anywhere.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.cell.loaded_run import LoadedRun
    from engine.cell.shard import Shard

LookedAt = list[tuple["Shard", "LoadedRun"]]

_LOOKED_AT: ContextVar[LookedAt | None] = ContextVar("looked_at", default=None)


def begin() -> LookedAt:
    """The list for the call that begins here; runs are noted in it from now on."""
    looked_at: LookedAt = []
    _LOOKED_AT.set(looked_at)
    return looked_at


def note(shard: Shard, run: LoadedRun) -> None:
    """The call, if this is part of one, has looked at the run."""
    looked_at = _LOOKED_AT.get()
    if looked_at is not None:
        looked_at.append((shard, run))


async def all_durable(looked_at: LookedAt) -> None:
    """Return when nothing of these runs waits for a commit. Raises why it never will be."""
    for shard, run in looked_at:
        await shard.durable(run)
