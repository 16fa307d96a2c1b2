from __future__ import annotations

import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.installation import (
    DirectoryInUse,
    InstallationError,
    Part,
    Secrets,
    SecretsUnusable,
    installation,
)


def test_secrets_are_made_once_and_are_nobody_elses_business(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    with installation(data) as first:
        made = first.secrets
    with installation(data) as second:
        assert second.secrets == made
    assert stat.S_IMODE((data / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert len(made.pepper) == len(made.sealing_keys[made.sealing_key_active]) == 32


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    with installation(tmp_path / "one") as one, installation(tmp_path / "two") as two:
        assert one.secrets.pepper != two.secrets.pepper
        assert one.secrets.sealing_keys != two.secrets.sealing_keys


def test_a_directory_has_one_server(tmp_path: Path) -> None:
    with installation(tmp_path), pytest.raises(DirectoryInUse, match=r"process [0-9]+.*--data"):
        installation(tmp_path).__enter__()
    with installation(tmp_path):
        pass


def test_a_draft_of_a_start_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "secrets.json.draft").write_text('{"pepper": "')
    with installation(tmp_path) as held:
        assert held.secrets.pepper


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pepper": "zz"}', '{"pepper": 1}'])
def test_damaged_secrets_are_never_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SecretsUnusable, match="damaged"):
        installation(tmp_path).__enter__()
    assert path.read_text() == text


def test_secrets_that_others_can_read_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with installation(tmp_path):
        pass
    (tmp_path / "secrets.json").chmod(0o644)
    with pytest.raises(SecretsUnusable, match="chmod 600"):
        installation(tmp_path).__enter__()


def test_a_database_without_its_secrets_gets_no_new_ones(tmp_path: Path) -> None:
    (tmp_path / "control.db").touch()
    with pytest.raises(SecretsUnusable, match="restore"):
        installation(tmp_path).__enter__()
    assert not (tmp_path / "secrets.json").exists()


def test_a_path_that_can_be_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstallationError, match="file"):
        installation(tmp_path / "file").__enter__()


def test_parts_that_start_at_once_have_the_same_secrets(tmp_path: Path) -> None:
    def secrets_of(part: Part) -> Secrets:
        with installation(tmp_path / "data", part) as held:
            return held.secrets

    for _ in range(20):
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        with ThreadPoolExecutor(2) as threads:
            cell, frontend = threads.map(secrets_of, (Part.CELL, Part.FRONTEND))
        assert cell == frontend
