"""Programs that check infrastructure: Terraform if it is installed, and Python ones of our own.

The Python ones are in an environment of their own, because their versions collide with ours. It
is made once for each version of its lock, in the user's cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.infra.processes import INFRA

TERRAFORM = INFRA / "terraform"
LOCK = INFRA / "requirements.lock"
MIRROR_VARIABLE = "PERDURE_TERRAFORM_MIRROR"
PROVIDER = "registry.terraform.io/hashicorp/aws"
MIRRORS = ("~/.terraform.d/plugins", "/usr/*/share/terraform/plugins", "/usr/share/*", "/opt/*")
"""Where a machine may have providers on its disk, as patterns."""

SECONDS_MAX = 900


def run(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **QUIET, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


QUIET = {
    "CHECKPOINT_DISABLE": "1",
    "TF_IN_AUTOMATION": "1",
    # A file that the machine names but does not have is warned of at every command.
    "TF_CLI_CONFIG_FILE": os.environ.get("TF_CLI_CONFIG_FILE", os.devnull)
    if Path(os.environ.get("TF_CLI_CONFIG_FILE", os.devnull)).exists()
    else os.devnull,
}


def terraform() -> str:
    """The program; a test without it is skipped."""
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("Terraform is not installed")
    return found


def _mirrors() -> Iterator[Path]:
    given = os.environ.get(MIRROR_VARIABLE)
    if given:
        yield Path(given)
    for pattern in MIRRORS:
        whole = Path(pattern).expanduser()
        yield from sorted(Path(whole.anchor).glob(str(whole.relative_to(whole.anchor))))


def from_disk() -> tuple[str, ...]:
    """Options of `terraform init` where this machine has the provider on its disk."""
    mirror = next((it for it in _mirrors() if (it / PROVIDER).is_dir()), None)
    return () if mirror is None else (f"-plugin-dir={mirror}",)


def initialised(folder: Path, *options: str) -> None:
    """Ready for commands of Terraform; a test that can have no provider is skipped."""
    command = [terraform(), "init", "-input=false", "-no-color", *from_disk(), *options]
    done = run(command, folder)
    if done.returncode != 0 and not from_disk() and "registry.terraform.io" in done.stderr:
        pytest.skip(
            f"Terraform has no provider for AWS: no mirror ({MIRROR_VARIABLE}), no registry"
        )
    assert done.returncode == 0, done.stderr


def bench() -> Path:
    """The folder of the Python programs; a test that cannot have them is skipped."""
    name = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "perdure"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"infra-{name}"
    with (cache / f"infra-{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(folder)
    return folder / "bin"


def _make(folder: Path) -> None:
    """By uv, which takes a tenth of pip's minutes, and which pip brings by the same lock."""
    shutil.rmtree(folder, ignore_errors=True)
    first = folder.with_suffix(".txt")
    lines = re.search(r"^uv==.+\n(?: .+\n)*", LOCK.read_text(), re.MULTILINE)
    assert lines is not None
    first.write_text(lines[0])
    exactly = ("install", "--quiet", "--require-hashes", "-r")
    commands: tuple[list[str | Path], ...] = (
        [sys.executable, "-m", "venv", folder],
        [folder / "bin/pip", *exactly, first],
        [folder / "bin/uv", "pip", *exactly, LOCK, "--python", folder / "bin/python"],
    )
    for command in commands:
        try:
            done = run(command, INFRA)
        except subprocess.TimeoutExpired:
            pytest.skip("infra/requirements.lock cannot be installed: it takes too long")
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["?"])[-1]
            pytest.skip(f"infra/requirements.lock cannot be installed: {reason}")
    (folder / "complete").touch()
