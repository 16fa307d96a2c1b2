"""What an import costs is told beyond a bare start, and a broken one is an error."""

from __future__ import annotations

import time

import pytest

from benchmarks.load import Failed
from benchmarks.scenarios import sdk_import
from benchmarks.scenarios.sdk_import import Starts


@pytest.mark.anyio
async def test_the_latency_of_an_import_leaves_the_bare_start_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    took = {"": 10.0, "import perdure": 70.0}
    now = 0.0

    async def run(code: str) -> int:
        nonlocal now
        now += took[code]
        return 0

    monkeypatch.setattr(sdk_import, "_run", run)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    starts = Starts("perdure")
    assert await starts.bare().operation(now) == 10.0
    assert await starts.importing().operation(now) == 60.0


@pytest.mark.anyio
async def test_an_import_that_fails_is_an_error_and_no_latency() -> None:
    starts = Starts("perdure.nothing_of_this_name")
    await starts.bare().operation(time.perf_counter())
    target = starts.importing()
    with pytest.raises(Failed):
        await target.operation(time.perf_counter())
    assert target.tally.errors == 1
