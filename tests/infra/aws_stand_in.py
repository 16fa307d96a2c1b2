"""AWS on this machine: moto's server, which keeps what it is told and runs nothing of it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_SECONDS_MAX = 120.0
LOOK_AGAIN_SECONDS = 0.2


@contextmanager
def aws_stand_in(programs: Path) -> Iterator[Mapping[str, str]]:
    """The environment in which `aws` and Terraform speak to it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [programs / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(endpoint, server)
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "3",
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }
    finally:
        server.kill()
        server.wait()


def _wait_for(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < ends and server.poll() is None:
        try:
            urllib.request.urlopen(f"{endpoint}/moto-api/data.json").close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(LOOK_AGAIN_SECONDS)
        else:
            return
    raise AssertionError("moto's server does not start")
