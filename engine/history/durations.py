"""Durations as clients and workflows send them."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from engine.history.protobuf import NANOSECONDS
from engine.limits import DURATION_SECONDS_MAX


def problem(duration: Duration) -> str:
    """What is wrong with a duration as it was sent; empty when nothing is.

    A longer one than the bound could make a deadline that no row holds.
    """
    if duration.seconds < 0 or duration.nanos < 0:
        return "must not be negative"
    if duration.nanos >= NANOSECONDS:
        return f"must have fewer than {NANOSECONDS} nanos; carry them over to its seconds"
    if (duration.seconds, duration.nanos) > (DURATION_SECONDS_MAX, 0):
        return f"must be at most {DURATION_SECONDS_MAX} s (100 years)"
    return ""
