"""One installation's directory: who may use it, its secrets, where its files are."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

SECRET_BYTES = 32
ID_BYTES = 16
FIRST_SEALING_KEY = 1
SOCKET_PATH_BYTES_MAX = 100


class InstallationError(Exception):
    """The data directory cannot be used."""


class DirectoryInUse(InstallationError):
    def __init__(self, data: Path, holder: str) -> None:
        super().__init__(
            f"another server ({holder or 'of unknown process id'}) uses {data}:"
            " stop it, or name another directory with --data"
        )
        self.data = data


class SecretsUnusable(InstallationError):
    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path} {problem}: {remedy}")
        self.path = path


@dataclass(frozen=True, slots=True)
class Secrets:
    """`pepper` keys digests and signatures, the snapshot's included; sealing keys form a ring."""

    pepper: bytes
    sealing_keys: Mapping[int, bytes]
    sealing_key_active: int


@dataclass(frozen=True, slots=True)
class Installation:
    data: Path
    secrets: Secrets

    @property
    def cell_id(self) -> str:
        """Names the cell among those of all installations. It follows from the secrets."""
        digest = hashlib.blake2b(b"cell-1", key=self.secrets.pepper, digest_size=ID_BYTES)
        return digest.hexdigest()

    @property
    def database_path(self) -> Path:
        return self.data / "control.db"

    @property
    def database_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.database_path}"

    @property
    def cell_path(self) -> Path:
        return self.store_file("cell-1")

    def store_file(self, cell_id: str) -> Path:
        """The SQLite store of one of several cells."""
        return self.data / f"{cell_id}.db"

    @property
    def cells_path(self) -> Path:
        """Says how many cells the installation has on this machine, if it is not one."""
        return self.data / "cells"

    @property
    def store_path(self) -> Path:
        """Says which kind of store has the data."""
        return self.data / "store"

    @property
    def moving_path(self) -> Path:
        """Names the copy that is made of the SQLite files, while nobody has changed them since."""
        return self.data / "moving"

    def socket(self, name: str) -> Path:
        """Where the process of that name listens, for who may enter the directory."""
        path = self.data / f"{name}.socket"
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            raise InstallationError(
                f"{path} is too long for a socket, which takes {SOCKET_PATH_BYTES_MAX} bytes:"
                " name a shorter directory with --data"
            )
        return path

    @property
    def system_path(self) -> Path:
        return self.data / "system.db"

    @property
    def snapshot_path(self) -> Path:
        return self.data / "snapshot"

    @property
    def frontend_snapshot_path(self) -> Path:
        """What a frontend was told by the control plane."""
        return self.data / "frontend.snapshot"

    @property
    def snapshot_copy_path(self) -> Path:
        """What a cell keeps for frontends that start while the control plane is away."""
        return self.data / "cell.snapshot"

    @property
    def journal_path(self) -> Path:
        """The acts that a frontend has not delivered yet."""
        return self.data / "acts.db"

    @property
    def mail_path(self) -> Path:
        """Where letters are put while there is no mail server."""
        return self.data / "mail"


def system_socket(data: Path) -> Path | None:
    """Where operators' commands reach the system cell; None where its path is too long."""
    path = data / "system.socket"
    return path if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX else None


class Part(StrEnum):
    """What one process does of an installation's work, and nobody else may do meanwhile."""

    ALL = "lock"
    CELL = "cell-1.lock"
    CONTROL_PLANE = "control-plane.lock"
    FRONTEND = "frontend.lock"


def part_of(cell_id: str) -> str:
    """The part of an installation that one of several cells is."""
    return f"{cell_id}.lock"


@contextmanager
def installation(data: Path, *parts: str) -> Iterator[Installation]:
    """The directory, made if it is missing, and held against a second server of these parts.

    Without parts all of them are meant.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InstallationError(f"{data} cannot be made: {error.strerror}") from error
    with ExitStack() as held:
        for part in parts or Part:
            held.enter_context(_held(data, part))
        with alone(data):
            secrets = _secrets(data)
        yield Installation(data, secrets)


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Parts that start at once in a new directory take turns: one makes what both need."""
    descriptor = os.open(data, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _held(data: Path, part: str) -> Iterator[None]:
    """The lock ends with the process, however it ends."""
    descriptor = os.open(data / part, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUse(data, os.read(descriptor, 100).decode().strip()) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}".encode())
        yield
    finally:
        os.close(descriptor)


def _secrets(data: Path) -> Secrets:
    path = data / "secrets.json"
    if not path.exists():
        if (data / "control.db").exists() or (data / "store").exists():
            raise SecretsUnusable(
                path, "is missing beside a database", "restore it; no key is valid without it"
            )
        _make_secrets(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SecretsUnusable(path, "can be read by others", f"chmod 600 {path}")
    try:
        told = json.loads(path.read_bytes())
        return Secrets(
            pepper=bytes.fromhex(told["pepper"]),
            sealing_keys={int(id): bytes.fromhex(it) for id, it in told["sealing_keys"].items()},
            sealing_key_active=int(told["sealing_key_active"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SecretsUnusable(path, "is damaged", "restore it from a copy") from error


def _make_secrets(path: Path) -> None:
    """Whole and on the disk, or not at all: what was sealed with them must stay readable."""
    told = {
        "pepper": os.urandom(SECRET_BYTES).hex(),
        "sealing_keys": {str(FIRST_SEALING_KEY): os.urandom(SECRET_BYTES).hex()},
        "sealing_key_active": FIRST_SEALING_KEY,
    }
    write_whole(path, json.dumps(told).encode())


def write_whole(path: Path, content: bytes) -> None:
    """The file has this content, for its owner only and on the disk, or is as it was."""
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_folder(path.parent)


def kept_number(
    note: Path, wanted: int | None, *, first: int, refused: Callable[[int], InstallationError]
) -> int:
    """A number that never gets less: the wanted one, noted, or with None what the note has.

    Without a note it is `first`. Raises `refused(kept)` where less is wanted than was kept.
    """
    kept = int(note.read_text()) if note.exists() else first
    if wanted is None or wanted == kept:
        return kept
    if wanted < kept:
        raise refused(kept)
    write_whole(note, str(wanted).encode())
    return wanted


def sync_folder(folder: Path) -> None:
    """What was made, renamed and removed in it is on the disk."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
