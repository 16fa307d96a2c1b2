"""A file system under SQLite that remembers what happened to it, and fails when told to."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apsw

SECTOR_BYTES = 512
KEPT_SHARE = 0.6
TORN_SHARE = 0.15

_names = itertools.count()


class Operation(NamedTuple):
    """A change of a file that a power cut may undo, or (`acked`) the store's word for a commit."""

    kind: str
    file: str = ""
    offset: int = 0
    content: bytes = b""


Fault = Callable[[str, str], apsw.Error | None]
"""Told of each read, write, truncation, sync and open, and the file: the error to fail it with."""


class Recorder:
    """A virtual file system of its own name; `log` is in the order of what happened."""

    def __init__(self) -> None:
        self.name = f"recorder-{next(_names)}"
        self.log: list[Operation] = []
        self.calls: list[tuple[str, str]] = []
        """What was asked for, of which file."""
        self.fault: Fault | None = None
        self._vfs = _Vfs(self)

    def note(self, operation: Operation) -> None:
        self.log.append(operation)

    def ask(self, call: str, file: str) -> None:
        """Raises what the fault has for this call."""
        self.calls.append((call, file))
        error = self.fault(call, file) if self.fault else None
        if error is not None:
            raise error

    def remove(self) -> None:
        self._vfs.unregister()


class _Vfs(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        super().__init__(recorder.name, "")

    def excepthook(self, *_: Any) -> bool:
        """Faults are meant; SQLite hears of them by its result codes."""
        return True

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        self.recorder.ask("open", _file_name(name))
        return _File(self.recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.recorder.note(Operation("delete", Path(filename).name))
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self.recorder = recorder
        self.file = _file_name(name)

    def excepthook(self, *_: Any) -> bool:
        """As for the file system."""
        return True

    def xRead(self, amount: int, offset: int) -> bytes:
        self.recorder.ask("read", self.file)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        self.recorder.ask("write", self.file)
        self.recorder.note(Operation("write", self.file, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self.recorder.ask("truncate", self.file)
        self.recorder.note(Operation("truncate", self.file, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self.recorder.ask("sync", self.file)
        super().xSync(flags)
        self.recorder.note(Operation("sync", self.file))


def _file_name(name: Any) -> str:
    shown = name if isinstance(name, str) or name is None else name.filename()
    return Path(shown or "temporary").name


def full_disk() -> apsw.Error:
    return apsw.FullError("no space left on the device")


def broken_disk() -> apsw.Error:
    return apsw.IOError("input/output error")


class AfterCut(NamedTuple):
    """What a power cut leaves: files, and how many commits had been answered by then."""

    files: dict[str, bytes]
    acked: int

    def write(self, folder: Path) -> None:
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def cut(log: list[Operation], length: int, rng: random.Random) -> AfterCut:
    """The disk after the first `length` operations.

    What was synced is there. Of each file's later operations some are lost, and writes may be
    torn between sectors. The shared memory file does not outlive its processes.
    """
    files: dict[str, bytearray] = {}
    pending: dict[str, list[Operation]] = {}
    acked = 0
    for operation in log[:length]:
        if operation.kind == "acked":
            acked += 1
        elif operation.kind == "sync":
            for each in pending.pop(operation.file, []):
                _apply(files, each)
        elif operation.kind == "delete":
            files.pop(operation.file, None)
            pending.pop(operation.file, None)
        else:
            pending.setdefault(operation.file, []).append(operation)
    for operations in pending.values():
        for each in operations:
            if rng.random() < KEPT_SHARE:
                _apply(files, _torn(each, rng))
    kept = {name: bytes(content) for name, content in files.items() if not name.endswith("-shm")}
    return AfterCut(kept, acked)


def _torn(operation: Operation, rng: random.Random) -> Operation:
    sectors = len(operation.content) // SECTOR_BYTES
    if operation.kind != "write" or sectors < 2 or rng.random() >= TORN_SHARE:
        return operation
    return operation._replace(content=operation.content[: SECTOR_BYTES * rng.randrange(1, sectors)])


def _apply(files: dict[str, bytearray], operation: Operation) -> None:
    content = files.setdefault(operation.file, bytearray())
    if operation.kind == "truncate":
        del content[operation.offset :]
        return
    missing = operation.offset - len(content)
    if missing > 0:
        content.extend(bytes(missing))
    content[operation.offset : operation.offset + len(operation.content)] = operation.content
