from __future__ import annotations

from pathlib import Path

import pytest

from api.config import OTLP_VARIABLE, PORT_DEFAULT, read_config


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
