"""The image: what is in it is what the product needs, and how it starts."""

from __future__ import annotations

import http.server
import json
import os
import re
import runpy
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.installation import installation
from tests.house.tree import ROOT, product_files
from tests.infra.processes import INFRA, START, processes

CONTAINER = INFRA / "container"
DOCKERFILE = (CONTAINER / "Dockerfile").read_text()
COPIED = dict(re.findall(r"^COPY ([^-\s]\S*) (/srv/perdure/\S+)$", DOCKERFILE, re.MULTILINE))
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
SECRETS = '{"pepper": "00", "sealing_keys": {"1": "00"}, "sealing_key_active": 1}'


def pins(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in PIN.findall(lock.read_text()):
        found.setdefault(name, set()).add(version)
    return found


def test_the_image_has_every_package_of_the_product() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(COPIED) == {*packages, "sdk/src/perdure"}
    let_in = (CONTAINER / "Dockerfile.dockerignore").read_text()
    for source in (*COPIED, "infra/container/requirements.lock"):
        assert f"!{source}\n" in let_in


def test_the_image_installs_what_was_tested_and_nothing_for_development() -> None:
    locked, tested = pins(CONTAINER / "requirements.lock"), pins(ROOT / "requirements.lock")
    renew = "renew infra/container/requirements.lock: infra/README.md says how"
    others = {name for name, versions in locked.items() if not versions <= tested.get(name, set())}
    assert others == set(), renew
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {re.split(r"[\[<>=~;\s]", it)[0].lower() for it in project["project"]["dependencies"]}
    assert wanted <= locked.keys(), renew
    assert not locked.keys() & {"pytest", "ruff", "mypy", "playwright"}


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert "HEALTHCHECK" in last
    exposed = re.search(r"^EXPOSE ([\d ]+)$", last, re.MULTILINE)
    assert exposed is not None
    ports = {str(port) for process in processes() for port in process.ports.values()}
    assert ports <= set(exposed[1].split())


def started(data: Path, **given: str) -> dict[str, Any]:
    """What the product would be started with."""
    data.mkdir(mode=0o700, exist_ok=True)
    tell = data.parent / "tell"
    tell.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print(json.dumps({'arguments': sys.argv[1:], 'environment': dict(os.environ)}))\n"
    )
    tell.chmod(0o755)
    environment = {"PERDURE_DATA": str(data), "PERDURE_PYTHON": str(tell), **given}
    command: list[str | Path] = [START, "cell", "--cell", "cell 1"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_secrets_become_files_that_the_product_alone_reads(tmp_path: Path) -> None:
    data = tmp_path / "data"
    told = started(
        data,
        PERDURE_SECRETS=SECRETS,
        PERDURE_TLS_CERTIFICATE="-----BEGIN\nlines",
        PERDURE_TLS_KEY="the key",
        PERDURE_STORE="postgresql://db/perdure",
    )
    assert told["arguments"] == ["-m", "api", "cell", "--cell", "cell 1"]
    assert {name for name in told["environment"] if name.startswith("PERDURE")} == {
        "PERDURE_DATA",
        "PERDURE_PYTHON",
        "PERDURE_STORE",
    }
    for name in ("secrets.json", "server.pem", "server.key"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
    assert (data / "server.pem").read_text() == "-----BEGIN\nlines\n"
    with installation(data) as held:
        assert held.secrets.pepper == b"\0"


def test_without_secrets_nothing_is_put_into_the_directory(tmp_path: Path) -> None:
    started(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        started(tmp_path / "data", PERDURE_TLS_CERTIFICATE="-----BEGIN")
    assert "no key beside it" in caught.value.stderr


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_container_is_as_healthy_as_its_process_says(address: str) -> None:
    probe = runpy.run_path(str(CONTAINER / "probe.py"))["main"]
    assert probe(f"{address}/healthz") == 0
    assert probe(f"{address}/readyz") == 1
    assert probe("http://127.0.0.1:1/healthz") == 1


@pytest.mark.ci
def test_what_is_in_the_image_runs_without_the_rest_of_the_checkout(tmp_path: Path) -> None:
    for source, target in COPIED.items():
        for path in product_files():
            if path.startswith(f"{source}/"):
                copy = tmp_path / Path(target).name / Path(path).relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes((ROOT / path).read_bytes())
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PERDURE_DATA": str(data),
        "PERDURE_PYTHON": sys.executable,
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command: list[str | Path] = [START, "up", "--data", data, "--port", "0"]
    with subprocess.Popen(
        command, env=environment, cwd=data, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        greeting = server.stdout.readline()
        server.terminate()
    assert "Perdure is ready" in greeting
    assert server.returncode in (0, -15)
