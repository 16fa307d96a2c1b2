"""One installation's directory: who may use it, its secrets, where its files are."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECRET_BYTES = 32
FIRST_SEALING_KEY = 1


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
    def database_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.data / 'control.db'}"

    @property
    def cell_path(self) -> Path:
        return self.data / "cell-1.db"

    @property
    def snapshot_path(self) -> Path:
        return self.data / "snapshot"


@contextmanager
def installation(data: Path) -> Iterator[Installation]:
    """The directory, made if it is missing, and held against a second server."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InstallationError(f"{data} cannot be made: {error.strerror}") from error
    with _held(data):
        yield Installation(data, _secrets(data))


@contextmanager
def _held(data: Path) -> Iterator[None]:
    """The lock ends with the process, however it ends."""
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
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
        if (data / "control.db").exists():
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
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(told, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
