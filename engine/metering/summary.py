"""A run's closing summary: what the recount needs and the history does not say.

It is a row of its own and outlives the run's retention.
"""

from __future__ import annotations

import msgspec

from engine.history.state import RunState


class RunSummary(msgspec.Struct, array_like=True, frozen=True):
    """Who the run was, and its counters: (fact kind, hour since the epoch) → count."""

    workflow_type: str
    task_queue: str
    counters: dict[str, int]

    def counts(self) -> list[tuple[str, int, int]]:
        """The counters as (fact kind, hour, count), in a fixed order."""
        split = ((*name.partition("@"), count) for name, count in self.counters.items())
        return sorted((kind, int(hour), count) for kind, _, hour, count in split)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RunSummary)


def summarize(state: RunState) -> RunSummary:
    run = state.run
    return RunSummary(run.workflow_type, run.task_queue, state.volatile.counters)


def encode_summary(state: RunState) -> bytes:
    return _encoder.encode(summarize(state))


def decode_summary(row: bytes) -> RunSummary:
    return _decoder.decode(row)
