from __future__ import annotations

import socket
from pathlib import Path

import pytest

from api.config import PORT_DEFAULT, STORE_VARIABLE, read_config
from api.mail_settings import SENDER_DEFAULT, SENDER_VARIABLE, SMTP_VARIABLE
from api.part_settings import map_told
from api.processes.watch import commands
from api.telemetry.settings import OTLP_VARIABLE
from tenancy import CellPlace
from tenancy.placement import ONE_CELL


def test_a_server_is_local_and_quiet_about_itself_unless_told_otherwise() -> None:
    config = read_config([], {})
    assert (config.host, config.port) == ("127.0.0.1", PORT_DEFAULT)
    assert config.data == Path.cwd() / ".data"
    assert config.telemetry.is_off
    assert not config.is_quiet


def test_the_command_line_wins_over_the_environment() -> None:
    environment = {OTLP_VARIABLE: "http://one:4318"}
    assert read_config(["up"], environment).telemetry.otlp_endpoint == "http://one:4318"
    told = read_config(["up", "--otlp", "http://two:4318"], environment)
    assert told.telemetry.otlp_endpoint == "http://two:4318"


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


def test_a_part_meets_the_others_in_the_directory_unless_it_is_told_an_address() -> None:
    parts = read_config(["cell"], {}).parts
    assert (parts.cell_id, parts.listen, parts.control_plane) == ("cell-1", "", "")
    assert parts.places == ONE_CELL
    environment = {
        "PERDURE_LISTEN": "10.0.0.1:7233",
        "PERDURE_CONTROL_PLANE": "control.internal:7234",
        "PERDURE_CELL_MAP": "cell-1=eu@10.0.0.1:7233, cell-2=us@10.0.0.2:7233,cell-3=us",
    }
    parts = read_config(["control-plane"], environment).parts
    assert (parts.listen, parts.control_plane) == ("10.0.0.1:7233", "control.internal:7234")
    assert parts.places == (
        CellPlace("cell-1", "eu", "10.0.0.1:7233"),
        CellPlace("cell-2", "us", "10.0.0.2:7233"),
        CellPlace("cell-3", "us", ""),
    )
    told = map_told(parts.places)
    assert read_config(["control-plane", "--cell-map", told], {}).parts.places == parts.places


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cell", "--cell", "Cell_1"], "is no name"),
        (["cell", "--cell", "../x"], "is no name"),
        (["cell", "--listen", "7233"], "give HOST:PORT"),
        (["frontend", "--control-plane", "http://host"], "give HOST:PORT"),
        (["control-plane", "--cell-map", ","], "one cell at least"),
        (["control-plane", "--cell-map", "cell-1=eu,cell-1=us"], "none twice"),
        (["control-plane", "--cell-map", "cell-1=eu@b"], "give HOST:PORT"),
        (["up", "--cells", "2"], "--cells goes with --processes"),
        (["up", "--processes", "--cells", "0"], "1 to 16 cells"),
        (["up", "--processes", "--cells", "17"], "1 to 16 cells"),
    ],
)
def test_settings_of_parts_that_are_none_are_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_config(arguments, {})
    assert says in capsys.readouterr().err


def test_letters_are_files_unless_a_server_is_named() -> None:
    mail = read_config([], {}).mail
    assert (mail.server, mail.sender, mail.console_url) == (None, SENDER_DEFAULT, None)
    environment = {SMTP_VARIABLE: "smtp://one", SENDER_VARIABLE: "cloud@example.com"}
    mail = read_config(
        ["--smtp-url", "smtps://two", "--console-url", "https://a.b/"], environment
    ).mail
    assert mail.server is not None
    assert (mail.server.host, mail.sender) == ("two", "cloud@example.com")
    assert mail.console_url == "https://a.b"


@pytest.mark.parametrize("is_by_environment", [True, False])
def test_parts_are_told_the_same_and_no_argument_holds_a_password(is_by_environment: bool) -> None:
    store, post = "postgresql://ada:secret@db/cell", "smtps://ada:secret@mail.example"
    sender = ["--mail-from", "cloud@example.com", "--console-url", "https://a.b"]
    if is_by_environment:
        config = read_config(sender, {STORE_VARIABLE: store, SMTP_VARIABLE: post})
    else:
        config = read_config([*sender, "--store", store, "--smtp-url", post], {})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        told = commands(config, (CellPlace("cell-1"),), [listener], store)
    read = [read_config(each.words[3:], each.environment) for each in told]
    assert [part.verb for part in read] == ["cell", "control-plane", "frontend"]
    assert all("secret" not in word for each in told for word in each.words)
    assert read[0].store == read[1].store == store
    assert read[1].mail == config.mail


@pytest.mark.parametrize(
    "argument",
    ["--smtp-url=http://ada:secret@h", "--mail-from=secret", "--console-url=secret://h/x"],
)
def test_settings_of_letters_that_are_wrong_are_told_without_a_password(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_config([argument], {})
    assert "secret" not in capsys.readouterr().err
