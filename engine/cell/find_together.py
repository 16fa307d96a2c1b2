"""Many runs are found with few look-ups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from engine.cell.loaded_run import LoadedRun
from engine.errors import EngineError
from engine.persistence.protocols import RunKey

if TYPE_CHECKING:
    from engine.cell.shard import Shard

RUNS_FOUND_AT_ONCE = 100

Found = LoadedRun | EngineError | None

T = TypeVar("T")


def pages(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, as many together as are found at once."""
    left = iter(items)
    while page := list(islice(left, RUNS_FOUND_AT_ONCE)):
        yield page


async def find_together(named: Sequence[tuple[Shard, RunKey]]) -> list[Found]:
    """What `Shard.find` gives for each, or raises.

    What is not in memory is asked for together. While some are read others may leave memory again:
    who changes a run looks first whether it is held.
    """
    found: list[Found] = [shard.held(key) if shard.is_owned else None for shard, key in named]
    missing = [place for place, run in enumerate(found) if run is None]
    if missing:
        finding = (named[place][0].find(named[place][1]) for place in missing)
        answers = await asyncio.gather(*finding, return_exceptions=True)
        for place, answer in zip(missing, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, EngineError):
                raise answer
            found[place] = answer
    return found
