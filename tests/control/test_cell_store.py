"""An installation keeps to the store that it was begun with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.cell_store import AnotherStore, cell_store, postgres_of
from api.installation import Installation, installation
from engine.persistence.postgres import PostgresStore
from engine.persistence.sqlite import SqliteStore

SERVER = "postgresql://ada:secret@db.example/cell"
PARTS = 4
ROUNDS = 50


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path / "data") as held:
        yield held


def test_a_new_installation_takes_sqlite_unless_told_otherwise(held: Installation) -> None:
    with postgres_of(held, None) as postgres:
        assert isinstance(cell_store(held, postgres), SqliteStore)
    with pytest.raises(AnotherStore, match="--store sqlite"), postgres_of(held, SERVER):
        pass


def test_an_installation_from_before_the_choice_has_sqlite(held: Installation) -> None:
    held.cell_path.touch()
    with pytest.raises(AnotherStore, match="--store sqlite"), postgres_of(held, "postgres"):
        pass
    with postgres_of(held, None) as postgres:
        assert postgres is None


def test_a_server_is_named_at_each_start_and_its_password_never_written(
    held: Installation,
) -> None:
    for _ in range(2):
        with postgres_of(held, SERVER) as postgres:
            assert postgres == SERVER
            assert isinstance(cell_store(held, postgres), PostgresStore)
    for choice in (None, "sqlite", "postgres"):
        with pytest.raises(AnotherStore, match="--store postgresql://…"), postgres_of(held, choice):
            pass
    kept = [path.read_text() for path in held.data.iterdir() if path.is_file()]
    assert not any("secret@" in text for text in kept)


def test_a_server_that_is_running_is_not_started_again(held: Installation) -> None:
    for choice in ("postgres", None):
        with postgres_of(held, choice, running=SERVER) as postgres:
            assert postgres == SERVER
    assert not (held.data / "postgres").exists()


def test_parts_that_start_at_once_have_the_same_store(tmp_path: Path) -> None:
    def start(part: str) -> bool:
        with installation(data, part) as held, postgres_of(held, None) as postgres:
            return isinstance(cell_store(held, postgres), SqliteStore)

    with ThreadPoolExecutor(PARTS) as threads:
        for number in range(ROUNDS):
            data = tmp_path / str(number)
            assert all(threads.map(start, (f"part-{each}.lock" for each in range(PARTS))))
