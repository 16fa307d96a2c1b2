"""The commands of docs/tour.md, in one shell, as somebody who reads it types them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.infra import workbench
from tests.product.server import free_port

TOUR = ROOT / "docs/tour.md"
MODULE = ROOT / "infra/terraform/modules/cell"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOUR_SECONDS_MAX = 900
SSO, AWS = "Single sign-on", "The same on AWS"
TOOLS = {SSO: ("node", "npm")}
NEEDED = ("bash", "curl", "openssl")
SAID = {
    "Raise it": '"ready": true',
    "An account, a namespace, a key": "'alice': 7500, 'bob': 2500",
    SSO: "read",
    "A worker with a certificate": "WORKFLOW_EXECUTION_STATUS_COMPLETED",
    "A colleague who may look": "returned error: 403",
    "A card": "4242",
    "Kill the database": "2 periods paid",
    "A budget, reached": "the budget 'a cent'",
    "Close the month, read the invoice": "ACTIVITY_TASK_COMPLETED",
    AWS: "Success!",
}
"""What a chapter prints, among other things."""

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)), reason=f"one of {', '.join(NEEDED)} is not installed"
    ),
]


def chapters() -> dict[str, str]:
    """The commands of each, by its title; those before the first are under the empty one."""
    parts = re.split(r"^## (.+)\n", TOUR.read_text(), flags=re.MULTILINE)
    titles = ["", *parts[1::2]]
    return {
        title: "\n".join(BLOCK.findall(text))
        for title, text in zip(titles, parts[::2], strict=True)
    }


def left_out() -> dict[str, str]:
    """What each chapter lacks that cannot be walked on this machine."""
    lacks = {
        title: f"{name} is not installed"
        for title, names in TOOLS.items()
        for name in names
        if shutil.which(name) is None
    }
    try:
        workbench.initialised(MODULE, "-backend=false")
    except pytest.skip.Exception as reason:
        lacks[AWS] = str(reason)
    return lacks


def walk(folder: Path, missing: Mapping[str, str]) -> dict[str, str]:
    """What each chapter printed."""
    script = ["set -euo pipefail", "exec 2>&1"]
    for title, commands in chapters().items():
        if title not in missing:
            script += [f"printf '\\n## %s\\n' '{title}'", commands]
    (folder / "tour.sh").write_text("\n".join(script))
    environment = {
        "PORT": str(free_port()),
        "TLS_PORT": str(free_port()),
        "TOUR": str(folder),
        "TF_CLI_ARGS_init": " ".join(workbench.from_disk()),
    }
    with (folder / "said").open("wb") as output:
        process = subprocess.Popen(
            ["bash", folder / "tour.sh"],
            cwd=ROOT,
            env={**os.environ, **workbench.QUIET, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            # What it leaves running when it fails is ended with it.
            start_new_session=True,
        )
        try:
            status = process.wait(TOUR_SECONDS_MAX)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
    said = (folder / "said").read_text(errors="replace")
    assert status == 0, said[-5_000:]
    _, *parts = re.split(r"^## (.*)\n", said, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_chapter_of_the_tour_says_what_it_promises(data: Path) -> None:
    assert set(chapters()) == {"", *SAID}
    missing = left_out()
    walked = walk(data.parent, missing)
    for title, text in SAID.items():
        if title not in missing:
            assert text in walked[title], f"{title}: {walked[title]}"
    if missing:
        pytest.skip("; ".join(f"“{title}” was left out: {why}" for title, why in missing.items()))
