"""`up --processes`: who watches the cell and the front, and what becomes of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from api.installation import installation
from tests.product.server import Preloaded, Product

WAIT_SECONDS_MAX = 60
LOOK_AGAIN_SECONDS = 0.05

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")


def parts(data: Path) -> dict[str, int]:
    """The process ids of the parts that run on this directory, by their verbs."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if str(data) in words and words[1:3] == ["-m", "api"]:
                found[words[3]] = int(entry.name)
    return found


async def other_parts(data: Path, before: dict[str, int], count: int) -> dict[str, int]:
    """The parts once there are so many and none of them is one of `before`'s."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            now = parts(data)
            if len(now) == count and not set(now.values()) & set(before.values()):
                return now
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def test_a_part_that_dies_is_started_again_and_all_end_together(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    product = Product(preloaded, tmp_path / "data", "--processes")
    try:
        await product.start()
        first = parts(product.data)
        assert set(first) == {"cell", "front"}
        for pid in first.values():
            os.kill(pid, signal.SIGKILL)
        second = await other_parts(product.data, first, len(first))
        await product.ready()
        product.stop()
        assert parts(product.data) == {}
        assert second.keys() == first.keys()
        assert [line for line in product.told() if "process_ended" not in line] == []
        assert len(product.told()) == len(first)
    finally:
        product.end(signal.SIGKILL)


async def test_the_parts_do_not_outlive_who_watches_them(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    product = Product(preloaded, tmp_path / "data", "--processes")
    await product.start()
    product.kill()
    assert await other_parts(product.data, {}, 0) == {}


@pytest.mark.ci
async def test_one_installation_is_not_run_twice(preloaded: Preloaded, tmp_path: Path) -> None:
    product = Product(preloaded, tmp_path / "data", "--processes")
    try:
        await product.start()
        for verb in ("up", "cell", "front"):
            second = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "api", verb, "--data", str(product.data), "--port", "0"),
                stderr=asyncio.subprocess.PIPE,
            )
            _, told = await second.communicate()
            assert second.returncode == 2
            assert "another server (process " in told.decode()
    finally:
        product.end(signal.SIGKILL)


@pytest.mark.ci
async def test_what_cannot_be_run_is_not_started_again_and_again(
    preloaded: Preloaded, tmp_path: Path
) -> None:
    with installation(tmp_path / "data") as held:
        held.store_path.write_text("postgresql://")
    watch = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "api",
            "up",
            "--processes",
            "--data",
            str(held.data),
            "--port",
            "0",
        ),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await watch.communicate()
    assert watch.returncode == 2
    assert told.decode().count("start with --store") == 1
