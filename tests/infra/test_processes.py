"""What Terraform tells the cloud's processes is what they read, and the other way round."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from api.cells import SHARD_COUNT
from api.config import Config, read_config
from api.telemetry.instruments import INSTRUMENTS
from tests.infra.processes import INSTALLATION, SECRETS, Told, processes, taken_by_start

OPTION = re.compile(r"^  (--[a-z-]+)", re.MULTILINE)
ALSO = re.compile(r"\(also:\s+(PERDURE_\w+)\)")

# Settings that no task is given, each with the reason.
LEFT_OUT = {
    "--cells": "it says how many cells one machine runs; here each cell is a task",
    "PERDURE_ALLOW_LOOPBACK_REQUESTS": "it is for development",
    "PERDURE_METRICS_HOST": "health is asked for within the task, metrics are sent",
    "--days-ahead": "it is for trying out what takes months",
    "--processes": "it starts the others on one machine; here ECS does",
    "--proxy": "nothing in front of a frontend ends TLS",
    "--quiet": "a log of starts and stops is wanted",
    "--to": "it goes with moving data, which no task does",
    "PERDURE_PROXY_SECRET": "it goes with --proxy",
}


class Asked(Mapping[str, str]):
    """An environment that notes what is asked of it."""

    def __init__(self, told: Mapping[str, str]) -> None:
        self._told = told
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._told[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def __len__(self) -> int:
        return len(self._told)


def environment_of(process: Told) -> Asked:
    passed_on = process.secrets.keys() - taken_by_start()
    return Asked({**process.environment, **{name: SECRETS[name] for name in passed_on}})


def config_of(process: Told) -> Config:
    return read_config(process.command, environment_of(process))


@pytest.fixture(params=processes(), ids=lambda process: process.name)
def process(request: pytest.FixtureRequest) -> Told:
    told: Told = request.param
    return told


def test_a_process_takes_what_its_task_is_told(process: Told) -> None:
    environment = environment_of(process)
    read_config(process.command, environment)
    assert set(environment) <= environment.names


def test_a_task_lets_in_at_the_ports_where_its_process_listens(process: Told) -> None:
    config = config_of(process)
    if "http" in process.ports:
        assert config.host == "0.0.0.0"
        assert process.ports == {"http": config.port, "tls": config.tls.port}
        health_port: int | None = config.port
    else:
        assert process.ports == {"wire": int(config.parts.listen.rpartition(":")[2])}
        health_port = config.telemetry.metrics_port
    assert process.probe == f"http://127.0.0.1:{health_port}/healthz"


def test_frontends_and_cells_are_looked_for_where_they_listen() -> None:
    told = {process.name: process for process in processes()}
    (place,) = config_of(told["control-plane"]).parts.places
    assert (place.id, place.region) == (told["cell"].options["--cell"], "eu-central-1")
    assert int(place.address.rpartition(":")[2]) == told["cell"].ports["wire"]
    control_plane = config_of(told["frontend"]).parts.control_plane
    assert int(control_plane.rpartition(":")[2]) == told["control-plane"].ports["wire"]


def test_every_setting_is_told_to_a_process_or_left_out_with_a_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = Asked({})
    with pytest.raises(SystemExit):
        read_config(["--help"], asked)
    usage = capsys.readouterr().out
    also = dict(options_and_variables(usage))
    settings = {also.get(option, option) for option in OPTION.findall(usage)} - {"--help"}
    read_config([], asked)
    told = {
        name
        for process in processes()
        for name in (*process.options, *process.environment, *process.secrets)
    }
    told = {also.get(name, name) for name in told} - taken_by_start()
    assert told | LEFT_OUT.keys() == settings | asked.names
    assert not told & LEFT_OUT.keys()


def options_and_variables(usage: str) -> Iterator[tuple[str, str]]:
    """The options that a variable of the environment says as well."""
    starts = [match.start() for match in OPTION.finditer(usage)]
    for start, end in zip(starts, [*starts[1:], len(usage)], strict=True):
        variable = ALSO.search(usage, start, end)
        if variable is not None:
            yield usage[start:end].split()[0], variable[1]


def test_every_secret_that_a_task_is_given_is_made_and_no_other() -> None:
    made = set(json.loads((INSTALLATION / "secrets.json").read_text())) | {"cell-1-store"}
    given = {secret.partition(":")[0] for it in processes() for secret in it.secrets.values()}
    assert given == made


def test_alarms_watch_what_the_product_tells_and_where_it_does() -> None:
    told = {it.full_name: it for it in INSTRUMENTS.values()}
    alarms: dict[str, dict[str, Any]] = json.loads(ALARMS.read_text())
    watched = {name: it for name, it in alarms.items() if it["namespace"] == "Perdure"}
    assert watched
    for name, alarm in watched.items():
        instrument = told[alarm["metric"]]
        place = MEASURED_AT.get(alarm["measured_at"], alarm["measured_at"])
        assert instrument.part == place, name
        assert set(alarm["dimensions"]) <= set(instrument.labels), name
    assert alarms["shards-missing"]["threshold"] == SHARD_COUNT


ALARMS = INSTALLATION.parent / "observability/alarms.json"
MEASURED_AT = {"service": "every process", "control-plane": "control plane"}
