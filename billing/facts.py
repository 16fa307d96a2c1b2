"""Facts as billing receives them from a cell, and their translation to Actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from billing.actions import BY_FACT_KIND, FREE
from billing.errors import FactsUnreadable, UnknownFact


class FactRow(NamedTuple):
    """What one commit of one shard counted.

    `blob` is a MessagePack array of [namespace id, kind, workflow type, task queue, hour, count].
    """

    cell_id: str
    shard_id: int
    sequence: int
    position: int
    blob: bytes


class FactSource(Protocol):
    """One cell's facts. Positions ascend, and so do the sequences of a shard along them.

    No row may turn up behind a position that was read: it would be skipped.
    """

    @property
    def cell_id(self) -> str: ...

    async def read_facts(self, after_position: int, limit: int) -> Sequence[FactRow]:
        """Rows behind `after_position`, ascending, at most `limit`."""

    async def delete_facts(self, up_to_position: int) -> None:
        """Forget rows that are collected."""


class UsageKey(NamedTuple):
    """What Actions are counted by. `hour` is that of the event that caused them."""

    namespace_id: str
    action: str
    workflow_type: str
    task_queue: str
    hour: int


_decoder = msgspec.msgpack.Decoder(list[tuple[str, str, str, str, int, int]])


def count_actions(row: FactRow) -> Counter[UsageKey]:
    """The Actions of one row. Raises FactsUnreadable and UnknownFact."""
    try:
        facts = _decoder.decode(row.blob)
    except msgspec.MsgspecError as error:
        raise FactsUnreadable(row.cell_id, row.shard_id, row.sequence) from error
    counts: Counter[UsageKey] = Counter()
    for namespace_id, kind, workflow_type, task_queue, hour, count in facts:
        if kind in FREE:
            continue
        action = BY_FACT_KIND.get(kind)
        if action is None:
            raise UnknownFact(kind)
        key = UsageKey(namespace_id, action.name, workflow_type, task_queue, hour)
        counts[key] += count * action.actions_per_fact
    return counts
