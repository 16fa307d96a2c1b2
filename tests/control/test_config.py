from __future__ import annotations

from pathlib import Path

import pytest

from api.config import OTLP_VARIABLE, PORT_DEFAULT, STORE_VARIABLE, read_config


def test_a_server_is_local_and_quiet_about_itself_unless_told_otherwise() -> None:
    config = read_config([], {})
    assert (config.host, config.port) == ("127.0.0.1", PORT_DEFAULT)
    assert config.data == Path.cwd() / ".data"
    assert config.otlp_endpoint is None
    assert not config.is_quiet


def test_the_command_line_wins_over_the_environment() -> None:
    environment = {OTLP_VARIABLE: "http://one:4318"}
    assert read_config(["up"], environment).otlp_endpoint == "http://one:4318"
    told = read_config(["up", "--otlp", "http://two:4318"], environment)
    assert told.otlp_endpoint == "http://two:4318"


@pytest.mark.parametrize("port", ["0", "65535"])
def test_every_port_may_be_named(port: str) -> None:
    assert read_config(["--port", port], {}).port == int(port)


@pytest.mark.parametrize("port", ["-1", "65536", "x", "²"])
def test_what_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_config([f"--port={port}"], {})
    assert "0 to 65535" in capsys.readouterr().err


def test_the_store_is_that_of_the_installation_unless_one_is_named() -> None:
    assert read_config([], {}).store is None
    environment = {STORE_VARIABLE: "postgres"}
    assert read_config([], environment).store == "postgres"
    assert read_config(["--store", "sqlite"], environment).store == "sqlite"
    url = "postgresql://ada:secret@db.example/cell"
    assert read_config(["--store", url], {}).store == url


@pytest.mark.parametrize(
    "store",
    ["mysql", "postgres://h/d", "postgresql://ada:secret@h/d?nonsense=1", "postgresql:///d"],
)
def test_a_store_that_is_none_is_refused_without_its_password(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_config(["--store", store], {})
    told = capsys.readouterr().err
    assert "a store is sqlite, postgres or postgresql://USER:PASSWORD@HOST/DATABASE" in told
    assert "secret" not in told
