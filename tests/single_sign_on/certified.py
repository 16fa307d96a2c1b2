"""A certified OpenID provider as a process of its own, from npm; the lock says which packages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.product.server import free_port
from tests.single_sign_on.identity_provider import CLIENT_ID, CLIENT_SECRET

FOLDER = Path(__file__).parent / "oidc_provider"
INSTALL_SECONDS_MAX = 180
TOOLS = ("node", "npm")


def missing_tools() -> list[str]:
    return [name for name in TOOLS if shutil.which(name) is None]


def installed(request: pytest.FixtureRequest) -> Path:
    """The folder with the packages, in pytest's cache; skips where npm cannot get them."""
    lock = (FOLDER / "package-lock.json").read_bytes()
    name = f"oidc-provider-{hashlib.sha256(lock).hexdigest()[:12]}"
    folders: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    cache = getattr(request.config, "cache", None)
    folder = folders.mktemp(name) if cache is None else Path(cache.mkdir(name))
    if not (folder / "complete").exists():
        for file in ("package.json", "package-lock.json"):
            shutil.copy(FOLDER / file, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(
                command, cwd=folder, check=True, capture_output=True, timeout=INSTALL_SECONDS_MAX
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pytest.skip("npm cannot install the certified OpenID provider")
        (folder / "complete").touch()
    return folder


@contextmanager
def certified_provider(packages: Path, *, redirect_uri: str, domain: str) -> Iterator[str]:
    """Its issuer. Who logs in there as NAME is NAME@domain."""
    port = free_port()
    arguments = (packages, port, redirect_uri, CLIENT_ID, CLIENT_SECRET, domain)
    process = subprocess.Popen(
        ["node", FOLDER / "server.mjs", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        is_ready = any(line.strip() == "ready" for line in process.stdout)
        assert is_ready, "the provider ended before it was ready"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()
