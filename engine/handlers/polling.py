"""How long a poll waits."""

from __future__ import annotations

from engine.call import Call
from engine.cell.services import Services
from engine.limits import TASK_POLL_SECONDS_MAX

ANSWER_MARGIN_SECONDS = 1.0
JITTER_SECONDS = 1.0
REQUEST_ID_BYTES = 16


def seconds(services: Services, call: Call, seconds_max: float = TASK_POLL_SECONDS_MAX) -> float:
    """A little less than the caller waits, and not the same for polls that began together."""
    longest = min(seconds_max, call.timeout_seconds)
    margin = min(ANSWER_MARGIN_SECONDS, longest / 10)
    jitter = services.env.random() * min(JITTER_SECONDS, longest / 10)
    return max(0.0, longest - margin - jitter)


def request_id(services: Services) -> str:
    """Names one poll; a task started for it is recognised when its start is repeated."""
    return services.env.token_bytes(REQUEST_ID_BYTES).hex()
