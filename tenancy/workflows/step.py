"""One step of a workflow of ours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from perdure import workflow
from perdure.policies import RetryPolicy

ATTEMPT_SECONDS_MAX = 15.0
"""Longer than any call of an activity waits: a process that died is waited for so long."""

RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 5.0


async def step(
    name: str,
    *values: Any,
    attempt_seconds_max: float = ATTEMPT_SECONDS_MAX,
    retry_seconds_max: float = RETRY_SECONDS_MAX,
) -> Any:
    """The result of the activity of that name, which is tried until it succeeds."""
    return await workflow.execute_activity(
        name,
        args=values,
        start_to_close_timeout=timedelta(seconds=attempt_seconds_max),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=RETRY_SECONDS_MIN),
            maximum_interval=timedelta(seconds=retry_seconds_max),
        ),
    )
